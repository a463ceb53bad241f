"""What the daemon looks at now and then, beside the loop that decides."""
