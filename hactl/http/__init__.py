"""The process that serves the network: metrics and health of this node, from what its daemon publishes.

It runs without privileges, holds no session and knows no etcd: whatever is done to it, nothing is decided later for it.
"""
