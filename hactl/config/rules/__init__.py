"""The rules between several parts of cluster.yaml, and those that only this machine can check."""
