"""The version of this installation, which is one for all four packages."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rerank-fleet")
except PackageNotFoundError:
    # A source tree on the path, never installed.
    __version__ = "0+unknown"
