"""The parts of the daemon that carry effects out, or keep what it must remember."""
