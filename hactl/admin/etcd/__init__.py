"""How an operator looks after etcd: snapshots, defragmentation, restore. By etcd's own `etcdctl`."""
