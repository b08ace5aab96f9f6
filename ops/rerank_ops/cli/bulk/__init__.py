"""`rerank-fleet bulk`: its commands, options, progress and reports."""

from rerank_ops.cli.bulk import run as _run
from rerank_ops.cli.bulk import status as _status
from rerank_ops.cli.bulk.group import bulk

#: Importing the commands puts them into the group.
COMMANDS = (_run, _status)

__all__ = ["COMMANDS", "bulk"]
