"""Everything around the fleet: the command line, the embedded server, the demo and the benchmarks."""
