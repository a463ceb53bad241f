"""Who owns what: sessions, ownership and their store in etcd (PROTOCOL.md). Knows nothing of services."""
