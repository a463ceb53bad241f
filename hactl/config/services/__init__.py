"""The shape of `services` and `haproxy` in cluster.yaml."""
