"""Taking hactl off a machine: its processes are ended in order, and nothing that it made in the kernel is left."""
