"""Fence agents: those of this machine, their metadata, a call of one, and the meaning of its answer."""
