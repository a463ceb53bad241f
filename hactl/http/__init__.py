"""The process that serves the network: metrics and health of this node, from its daemon's publications.

It runs without privileges, holds no session and knows no etcd: an attack on it does not delay the daemon.
"""
