"""The store on etcd v3: connections, endpoints, errors, watches."""
