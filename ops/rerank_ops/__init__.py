"""Everything around the fleet: the command line, the embedded server, the demo and the benchmarks."""

from importlib.metadata import version

__version__ = version("rerank-fleet")
