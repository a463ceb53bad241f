"""HAProxy's configuration file from the cluster's. Pure."""
