"""Who owns what: sessions, ownership and their store in etcd (docs/protocol.md). Knows nothing of services."""
