"""From empty machines to a cluster, and certificates: the plan, a bundle for each machine, joining, verification."""
