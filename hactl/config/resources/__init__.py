"""The resources of a group as cluster.yaml has them: a file for each kind, and `resource.py` for what all have."""
