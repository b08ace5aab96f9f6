"""`rerank-fleet dead`: shows, retries and drops dead letters, jobs set aside because each worker that took them died.

The text of a job is printed only on request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.contract.messages import DeadLetter
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import RerankError, WireError
from rerank_shared.keys import Keys, pool_of_queue
from rerank_shared.queue import dead_letters as letters
from rerank_shared.queue.dead_letters import Opened
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch

dead = typer.Typer(
    name="dead", help="List, show, retry or drop dead letters: jobs that killed their workers.", no_args_is_help=True
)

_SHOWN_CHARACTERS = 80
JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB_ID...", help="Ids as `dead list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Take all dead letters.")]


@dead.command("list")
def list_(as_json: AsJson = False, url: RedisUrl = None) -> None:
    """List dead letters, the latest first."""
    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, "listing jobs that were set aside"):
        found = letters.list_dead(client, Keys(settings.namespace))
    if as_json:
        print(json.dumps([_fields(letter) for letter in found]))
    elif found:
        out.print(_table(found))
    else:
        err.print("no job was set aside")


@dead.command()
def show(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="An id as `dead list` shows it.")],
    text: Annotated[bool, typer.Option("--text", help="Show the start of query and documents.")] = False,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Show one dead letter: its tenant, size and deadline. Its text is shown only with --text."""
    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, "reading a job that was set aside"):
        opened = letters.show(client, Keys(settings.namespace), job_id)
    fields = _opened_fields(opened, text=text)
    if as_json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        for line in values:
            out.print(f"{name:<20}{line}")


@dead.command()
def retry(job_ids: JobIds = None, every: All = False, url: RedisUrl = None) -> None:
    """Put dead letters back on their queue, as new attempts with a fresh deadline. Exit status 1 if any retry fails."""
    settings = settings_from(url)
    keys, failed = Keys(settings.namespace), False
    with connect(settings) as client, outages_told(settings, "sending jobs again"):
        for job_id in _chosen(client, keys, job_ids, every=every):
            try:
                job = letters.retry(client, keys, settings, job_id, server_epoch(client))
                err.print(f"{job_id}: attempt {job.attempt}, due {_moment(job.deadline_at)}")
            except RerankError as error:
                failed = True
                err.print(f"{job_id}: {error.message}")
    raise typer.Exit(1 if failed else 0)


@dead.command()
def drop(
    job_ids: JobIds = None,
    every: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: RedisUrl = None,
) -> None:
    """Delete dead letters, with their text."""
    settings = settings_from(url)
    keys = Keys(settings.namespace)
    with connect(settings) as client, outages_told(settings, "dropping jobs that were set aside"):
        chosen = _chosen(client, keys, job_ids, every=every)
        if every and chosen and not yes:
            typer.confirm(f"Drop {len(chosen):,} jobs in namespace {settings.namespace!r}?", abort=True, err=True)
        gone = letters.drop(client, keys, chosen) if chosen else 0
    err.print(f"{gone:,} jobs dropped")


def _chosen(client: Any, keys: Keys, job_ids: Sequence[str] | None, *, every: bool) -> list[str]:
    if bool(job_ids) == every:
        raise typer.BadParameter("name jobs, or give --all")
    return letters.dead_ids(client, keys) if every else list(job_ids or ())


def _table(found: Sequence[DeadLetter]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("job", "model", "queue", "deaths", "last worker", "set aside"):
        table.add_column(name, overflow="fold")
    for letter in found:
        names = (letter.job_id, _model(letter) or "unknown", letter.queue)
        table.add_row(*names, str(letter.deaths), letter.owner, _moment(letter.died_at))
    return table


def _model(letter: DeadLetter) -> str | None:
    """Return the model that the letter's job asks for, None where its message can't be read."""
    with suppress(WireError):
        return letters.job_of(letter).model
    return None


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return {
        "job_id": letter.job_id,
        "model": _model(letter),
        "pool": pool_of_queue(letter.queue) or None,
        "queue": letter.queue,
        "deaths": letter.deaths,
        "last_worker": letter.owner,
        "set_aside_at": _moment(letter.died_at),
    }


def _opened_fields(opened: Opened, *, text: bool) -> dict[str, Any]:
    job, documents = opened.job, opened.documents
    fields = _fields(opened.letter) | {
        "class": job.job_class,
        "tenant": job.tenant,
        "attempt": job.attempt,
        "tokens": job.tokens,
        "enqueued_at": _moment(job.enqueued_at),
        "deadline_at": _moment(job.deadline_at),
        "query_characters": len(job.query),
        "documents": None if documents is None else len(documents),
        "document_lengths": [len(document) for document in documents or ()],
    }
    if text:
        fields["query"] = job.query[:_SHOWN_CHARACTERS]
        fields["document_starts"] = [_start(document) for document in documents or ()]
    return fields


def _start(document: Content) -> str:
    return document[:_SHOWN_CHARACTERS] if isinstance(document, str) else f"{len(document)} token ids"


def _moment(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds")
