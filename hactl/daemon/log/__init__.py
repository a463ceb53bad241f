"""The daemon's log: its form, the thread that writes it, and repeated events."""
