"""What concerns several parts of cluster.yaml, and what of it this machine can tell."""
