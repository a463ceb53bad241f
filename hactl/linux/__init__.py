"""The interfaces of Linux, each once."""
