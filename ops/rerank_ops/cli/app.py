"""The app: all commands of `rerank-fleet`.

Each command is in a file of its own name and imports slow packages only when it is called.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from rerank_ops.cli.admin.cache import cache
from rerank_ops.cli.admin.dead import dead
from rerank_ops.cli.admin.doctor import doctor
from rerank_ops.cli.admin.keys import keys
from rerank_ops.cli.admin.redis_acl import redis_acl
from rerank_ops.cli.admin.route import route
from rerank_ops.cli.admin.shadow import shadow
from rerank_ops.cli.bulk import bulk
from rerank_ops.cli.capacity.autoscale import autoscale
from rerank_ops.cli.capacity.plan import plan
from rerank_ops.cli.capacity.redis_load import redis_load
from rerank_ops.cli.capacity.simulate import simulate
from rerank_ops.cli.choose.command import choose
from rerank_ops.cli.distil.command import distil
from rerank_ops.cli.evaluate.command import evaluate
from rerank_ops.cli.feedback.command import feedback
from rerank_ops.cli.fusion.tune import fusion
from rerank_ops.cli.model.export import export
from rerank_ops.cli.model.tune import tune
from rerank_ops.cli.models.command import models
from rerank_ops.cli.rank.rerank import rerank
from rerank_ops.cli.rollout.command import rollout
from rerank_ops.cli.serve.demo import demo
from rerank_ops.cli.serve.gateway import gateway
from rerank_ops.cli.serve.server import server
from rerank_ops.cli.serve.up import up
from rerank_ops.cli.serve.worker import worker
from rerank_ops.cli.top.command import top

app = typer.Typer(
    help="Rerank search results on a fleet of workers: queue, score, cache.",
    epilog="Settings are RERANK_ variables; `rerank-fleet doctor` lists them with their values.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # The default, "rich", keeps the line breaks of docstrings.
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(rerank)
app.command()(up)
app.command()(server)
app.command()(worker)
app.command()(gateway)
app.command()(doctor)
app.command()(top)
app.command()(autoscale)
app.command()(tune)
app.command()(simulate)
app.command()(plan)
app.command()(redis_load)
app.command()(redis_acl)
app.command()(rollout)
app.command()(export)
app.command()(evaluate)
app.command()(distil)
app.command()(choose)
app.add_typer(bulk)
app.add_typer(fusion)
app.add_typer(feedback)
app.add_typer(cache)
app.add_typer(dead)
app.add_typer(keys)
app.add_typer(models)
app.add_typer(route)
app.add_typer(shadow)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rerank-fleet {version('rerank-fleet')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...
