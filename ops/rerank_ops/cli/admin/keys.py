"""`rerank-fleet keys`: creates, lists and revokes the gateway's API keys.

A key is printed once, when it is created; the file holds only its hash.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson
from rerank_producer.gateway.auth.keyfile import ApiKey, new_key, parse, without
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import CacheScope, FusionMethod

keys = typer.Typer(name="keys", help="Create, list and revoke API keys of the gateway.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Option("--file", "-f", envvar="RERANK_GATEWAY_KEYS", metavar="FILE", help="TOML file of API keys."),
]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key: letters, digits, `_`, `.`, `-`.")],
    file: File,
    tenant: Annotated[
        str | None,
        typer.Option(help="Tenant of the key; keys of one tenant share its part of the fleet. Unset: its name."),
    ] = None,
    tokens_per_s: Annotated[
        float | None, typer.Option(min=1e-6, help="Limit of tokens a second, over all gateways.")
    ] = None,
    burst_tokens: Annotated[
        float | None, typer.Option(min=1, help="Limit of tokens at once after a pause. Unset: 10 s of --tokens-per-s.")
    ] = None,
    max_documents: Annotated[int | None, typer.Option(min=1, help="Limit of documents a request.")] = None,
    max_body_bytes: Annotated[int | None, typer.Option(min=1, help="Limit of body bytes a request.")] = None,
    deadline_ms: Annotated[
        float | None, typer.Option(min=1, help="Deadline of requests without one, milliseconds.")
    ] = None,
    cache_scope: Annotated[
        CacheScope | None,
        typer.Option(
            help="Scope of its cached scores. fleet: shared with all tenants, which can then see whether a pair was "
            "scored before. tenant: its tenant alone. Unset: the file's default, else fleet."
        ),
    ] = None,
    fusion: Annotated[
        FusionMethod | None,
        typer.Option(
            help="How first-stage scores count where a request has some and does not say. Unset: the file's default, "
            "else the settings'."
        ),
    ] = None,
    fusion_weight: Annotated[
        float | None,
        typer.Option(min=0, help="How much the first stage counts where a request does not say. Unset: as --fusion."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Model or route that it may use, by a name that GET /v1/models lists; several: repeat it. Unset: all.",
        ),
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day on which the key is invalid, UTC.")
    ] = None,
) -> None:
    """Create a key and print it, this one time. Running gateways accept it within a second."""
    today = datetime.now(UTC).date()
    if expires is not None and expires.date() <= today:
        raise typer.BadParameter("a day in the future expected", param_hint="--expires")
    limits: dict[str, str | float | date | list[str] | None] = {
        "tenant": tenant,
        "tokens_per_s": tokens_per_s,
        "burst_tokens": burst_tokens,
        "max_documents": max_documents,
        "max_body_bytes": max_body_bytes,
        "default_deadline_ms": deadline_ms,
        "cache_scope": cache_scope,
        "fusion": fusion,
        "fusion_weight": fusion_weight,
        "models": model or None,
        "expires": None if expires is None else expires.date(),
    }
    with _changing(file) as text:
        key, changed = new_key(text, name, limits, today)
        _replace(file, changed)
    print(key)
    err.print(f"made for {name}; keep it now, {file} holds only its hash. Send it as `Authorization: Bearer KEY`.")


@keys.command("list")
def list_(file: File, as_json: AsJson = False) -> None:
    """List the keys with their limits. The keys themselves can't be shown: the file holds only their hashes."""
    with _told(file):
        found = [entry.key for entry in parse(file.read_text(encoding="utf-8"))]
    if as_json:
        print(json.dumps([_fields(key) for key in found]))
    elif found:
        out.print(_table(found))
    else:
        err.print(f"no key in {file}: nobody gets in")


@keys.command()
def revoke(
    name_or_id: Annotated[str, typer.Argument(metavar="NAME|ID", help="Key as `keys list` shows it.")], file: File
) -> None:
    """Revoke a key: delete it from the file. Running gateways refuse it within a second."""
    with _changing(file) as text:
        key, changed = without(text, name_or_id)
        _replace(file, changed)
    err.print(f"{key.name} ({key.key_id}) revoked")


@contextmanager
def _changing(file: Path) -> Iterator[str]:
    """Yield the file's text, empty if the file does not exist, under a lock against other commands."""
    folder = os.open(file.resolve().parent, os.O_RDONLY)
    try:
        # The lock is on the folder, because the file is replaced; closing the folder releases it.
        fcntl.flock(folder, fcntl.LOCK_EX)
        with _told(file):
            yield file.read_text(encoding="utf-8") if file.exists() else ""
    finally:
        os.close(folder)


def _replace(file: Path, text: str) -> None:
    """Replace the file atomically: a new file gets mode 600, an existing one keeps its mode and owner.

    A gateway that could not read the new file would go on with the old keys. Raises ConfigurationError without the
    right to write it.
    """
    target = file.resolve()
    before = target.stat() if target.exists() else None
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as writing:
            writing.write(text)
            writing.flush()
            if before is not None:
                os.fchmod(writing.fileno(), stat.S_IMODE(before.st_mode))
                os.fchown(writing.fileno(), before.st_uid, before.st_gid)
            os.fsync(writing.fileno())
        draft.replace(target)
    except PermissionError as error:
        raise ConfigurationError(f"not changed: {error.strerror}; run it as the file's owner") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Prefix errors with the file's name; raise ConfigurationError for text that is not UTF-8."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error.message}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: no text in UTF-8") from None


def _table(found: Sequence[ApiKey]) -> Table:
    """Return the keys as a table. Most files have few limits, and a terminal no room for columns without any."""
    rows = [_row(key) for key in found]
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    told = [column for column in rows[0] if any(row[column] for row in rows)]
    for column in told:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(row[column] for column in told))
    return table


def _row(key: ApiKey) -> dict[str, str]:
    limits = {
        "tokens/s": key.tokens_per_s,
        "burst": key.burst_tokens,
        "documents": key.max_documents,
        "bytes": key.max_body_bytes,
        "deadline ms": key.default_deadline_ms,
    }
    return {
        "name": key.name,
        "id": key.key_id,
        "tenant": key.tenant,
        **{column: "" if limit is None else f"{limit:,.10g}" for column, limit in limits.items()},
        "cache": key.cache_scope,
        "fusion": _fusion(key),
        "expires": "" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}",
        "models": "\n".join(key.models or ()),
    }


def _fusion(key: ApiKey) -> str:
    weight = "" if key.fusion_weight is None else f"{key.fusion_weight:g}"
    return f"{key.fusion or ''} {weight}".strip()


def _fields(key: ApiKey) -> dict[str, Any]:
    fields = asdict(key)
    expires_at = None if key.expires_at is None else key.expires_at.isoformat()
    return {"name": key.name, "id": fields.pop("key_id"), **fields, "expires_at": expires_at}
