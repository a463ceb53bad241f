"""A whole cluster on one machine, in network namespaces: the demo, the tests and the benchmarks use it."""
