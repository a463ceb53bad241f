"""Problems of etcd, from the facts that its endpoints state, each with the command that helps. Pure."""
