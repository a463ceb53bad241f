"""Fence agents: which there are, what they say of themselves, running one, what its answer means."""
