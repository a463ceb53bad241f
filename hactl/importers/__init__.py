"""Other programs' configurations, turned into cluster.yaml."""
