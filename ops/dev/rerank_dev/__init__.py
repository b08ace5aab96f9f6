"""What the developers run and users do not install: benchmarks, the conformance suites, and tables for the docs."""
