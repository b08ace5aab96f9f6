"""`rerank-fleet feedback`: shows what is kept of clicks, makes judgements of it, and deletes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.admin.cache import memory_text
from rerank_ops.cli.console import err, out
from rerank_ops.cli.feedback import options as asked
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_ops.feedback import stream
from rerank_shared.contract.feedback import query_digest
from rerank_shared.contract.messages import Feedback
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch

if TYPE_CHECKING:
    from rerank_ops.feedback.exported import Exported

feedback = typer.Typer(
    name="feedback", help="What was clicked: show it, make judgements of it, delete it.", no_args_is_help=True
)


@feedback.command()
def status(as_json: AsJson = False, url: RedisUrl = None) -> None:
    """Show how many records are kept, their memory, and how old they are. Deletes what is older than it may be."""
    settings = settings_from(url)
    keys = Keys(settings.namespace)
    with connect(settings) as client, outages_told(settings, "reading feedback"):
        stream.sweep(client, keys, settings)
        found, now = stream.status(client, keys), server_epoch(client)
    if as_json:
        kept = {"keep_days": settings.feedback_keep_days, "texts": settings.feedback_texts}
        print(json.dumps(asdict(found) | kept))
        return
    rows = [
        ("records", f"{found.records:,}, of about {settings.feedback_max_records:,} at most"),
        ("memory", "not told by the server" if found.bytes is None else f"about {memory_text(found.bytes)}"),
        ("oldest", _age(found.oldest_at, now)),
        ("newest", _age(found.newest_at, now)),
        ("kept for", f"{settings.feedback_keep_days:g} days"),
        ("texts", "kept" if settings.feedback_texts else "not kept"),
    ]
    for name, value in rows:
        out.print(f"{name:<10}{value}", highlight=False)


@feedback.command()
def export(
    file: asked.File = None,
    beir: asked.Beir = None,
    queries: asked.Queries = None,
    tenant: asked.Tenant = None,
    since: asked.Since = None,
    correct: asked.Correct = True,
    clip: asked.Clip = 0.1,
    min_impressions: asked.MinImpressions = 1,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Make judgements of what was clicked, for `evaluate --qrels`. Clicks are weighted by their ranks.

    A click at a rank that is looked at half as often counts twice. How often is learned from swaps
    (RERANK_FEEDBACK_SWAP_SHARE); without any, a click counts 1 at every rank, and this says so.
    """
    if (file is None) == (beir is None):
        raise typer.BadParameter("give a file, or --beir DIR")
    from rerank_ops.feedback.exported import Choice, exported
    from rerank_ops.feedback.files import write_beir, write_table

    settings = settings_from(url)
    keys = Keys(settings.namespace)
    choice = Choice(tenant, None if since is None else _epoch(since), correct, clip, min_impressions)
    with connect(settings) as client, outages_told(settings, "reading feedback"):
        stream.sweep(client, keys, settings)
        found = exported(stream.records(client, keys), choice, queries)
    left_out: dict[str, int] = {}
    if beir is not None:
        left_out = write_beir(beir, found.rows)
    else:
        assert file is not None
        write_table(file, found.rows, found.about())
    if as_json:
        print(json.dumps(found.about() | {"left_out": left_out}))
    else:
        _tell(found, left_out, str(file or beir))


@feedback.command()
def delete(
    request: asked.Request = None,
    query_id: asked.QueryId = None,
    query: asked.Query = None,
    tenant: asked.Tenant = None,
    before: asked.Before = None,
    every: asked.All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: RedisUrl = None,
) -> None:
    """Delete feedback: of a request, a query, a tenant, before a time, or all."""
    given = [request, query_id, query, tenant, before, every or None]
    if sum(each is not None for each in given) != 1:
        raise typer.BadParameter("name one: --request, --query-id, --query, --tenant, --before or --all")
    settings = settings_from(url)
    keys = Keys(settings.namespace)
    if every and not yes:
        typer.confirm(f"Delete all feedback in namespace {settings.namespace!r}?", abort=True, err=True)
    with connect(settings) as client, outages_told(settings, "deleting feedback"):
        if every:
            gone = stream.delete_all(client, keys)
        elif before is not None:
            gone = stream.delete_before(client, keys, _epoch(before))
        else:
            gone = stream.delete(client, keys, _chosen(request, query_id, query, tenant))
        # Also where nothing was found: what an earlier call deleted may still have its bytes.
        erased = every or stream.rewrite(client, keys)
    err.print(f"{gone:,} records deleted")
    if not erased:
        err.print(
            "their bytes are still in the server's memory, where no command reads them: it had no room for a copy of "
            "the others, or somebody else deletes too. Repeat this later; else they go with their time",
            style="yellow", highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(1)


def _chosen(
    request: str | None, query_id: str | None, query: str | None, tenant: str | None
) -> Callable[[Feedback], bool]:
    digest = None if query is None else query_digest(query)

    def chosen(record: Feedback) -> bool:
        if request is not None:
            return record.request_id == request
        if query_id is not None:
            return record.query_id == query_id
        return record.query_digest == digest if digest is not None else record.tenant == tenant

    return chosen


def _tell(found: Exported, left_out: dict[str, int], where: str) -> None:
    from rerank_ops.feedback.exported import propensity_lines

    for line in propensity_lines(found):
        out.print(line, highlight=False, soft_wrap=True)
    said = [f"{len(found.rows):,} judgements of {found.queries:,} queries", f"{found.answers:,} answers"]
    said.append(f"{found.clicks:,} clicks")
    err.print(f"{where}: {', '.join(said)}", highlight=False, soft_wrap=True)
    for reason, count in {**found.left_out(), **left_out}.items():
        err.print(f"left out: {reason}: {count:,}", style="yellow", highlight=False)


def _age(at: float | None, now: float) -> str:
    if at is None:
        return "nothing is kept"
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return f"{moment}, {max(0.0, now - at) / 86_400:.1f} days old"


def _epoch(text: str) -> float:
    """Return the epoch seconds of a date or time in ISO 8601, of UTC where it names no zone. Raises BadParameter."""
    try:
        moment: Any = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: a date or time expected, such as 2026-11-30 or 2026-11-30T12:00") from None
    return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
