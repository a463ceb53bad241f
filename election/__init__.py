"""Ownership of groups: sessions, owners and their store in etcd (docs/protocol.md). Knows nothing of services."""
