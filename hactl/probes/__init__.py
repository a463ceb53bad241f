"""Health probes: each kind of question asked once, within a deadline."""
