"""The HAProxy process of this node: its files, its sockets, its life."""
