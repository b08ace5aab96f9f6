"""`rerank-fleet bulk`: a run where its first word is a file, or one of its commands."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_RUN = "run"


class _RunByDefault(TyperGroup):
    """Takes arguments that begin with no command as those of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before the arguments where no command stands."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Show what is typed mostly."""
        formatter.write_usage(ctx.command_path, "INPUT OUTPUT [OPTIONS]  |  status OUTPUT  |  export OUTPUT FILE")


bulk = typer.Typer(
    name="bulk",
    cls=_RunByDefault,
    help="Rerank a file of any size: killed at any moment, it goes on to the same bytes. Options: `bulk run --help`.",
    no_args_is_help=True,
)
