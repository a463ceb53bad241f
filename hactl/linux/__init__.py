"""What Linux offers, each once."""
