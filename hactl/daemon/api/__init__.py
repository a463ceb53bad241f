"""The daemon's API on its unix sockets."""
