"""How a node is made certainly off, and the guard that holds its deadline. Knows nothing of etcd or hactl."""
