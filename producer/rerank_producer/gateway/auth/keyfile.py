"""The file of API keys: TOML, one [[key]] an entry. It is changed as text, so that a person's comments and order stay.

The file has no key, only the SHA-256 of each secret. A secret is 256 random bits, so a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import string
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import CacheScope, FusionMethod
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.spec import ModelName

#: A tenant is written into keys of Redis, and so is a name that stands for one.
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
#: The burst, in seconds of the rate, where the file names none.
BURST_S = 10.0
TOKEN = re.compile(r"rrf_([a-z0-9]{8})_([A-Za-z0-9]{43})")
_ID_CHARACTERS = string.ascii_lowercase + string.digits
_SECRET_CHARACTERS = string.ascii_letters + string.digits
_ID_LENGTH = 8
#: 43 of 62 characters are 256 bits.
_SECRET_LENGTH = 43
_MAX_MODELS = 256
_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_HEADER = re.compile(r"\s*\[")
_KEY_HEADER = re.compile(r"\s*\[\[\s*key\s*\]\]\s*(#.*)?$")
_TOP = """\
# API keys of the gateway of Rerank Fleet, made by `rerank-fleet keys create`; running gateways follow each change.
# A key itself is not in here, only the SHA-256 of its secret. Limits that are not named are those of the gateway.
"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key's identity and limits. None means no limit of its own.

    `tokens_per_s` flow into a bucket of `burst_tokens`, and requests take tokens out of it. `cache_scope` says whether
    its tenant shares cached scores with the fleet or has scores of its own. `fusion` and `fusion_weight` are for
    requests with first-stage scores that don't say themselves how these count. `models` are names of models and routes;
    see allowed_models.
    """

    key_id: str
    name: str
    tenant: str
    tokens_per_s: float | None = None
    burst_tokens: float | None = None
    max_body_bytes: int | None = None
    max_documents: int | None = None
    default_deadline_ms: float | None = None
    expires_at: datetime | None = None
    cache_scope: CacheScope = "fleet"
    fusion: FusionMethod | None = None
    fusion_weight: float | None = None
    models: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, and the SHA-256 of its secret."""

    key: ApiKey
    digest: bytes = field(repr=False)


class _Defaults(BaseModel):
    """The top of the file: for the keys that say nothing themselves."""

    model_config = ConfigDict(strict=True, extra="forbid")

    cache_scope: CacheScope = "fleet"
    fusion: FusionMethod | None = None
    fusion_weight: _Weight | None = None


class _Key(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: Annotated[str, Field(pattern=rf"^[a-z0-9]{{{_ID_LENGTH}}}$")]
    name: Annotated[str, Field(pattern=NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tenant: Annotated[str, Field(pattern=NAME)] | None = None
    tokens_per_s: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] | None = None
    burst_tokens: Annotated[float, Field(ge=1, le=1e15, allow_inf_nan=False)] | None = None
    max_body_bytes: Annotated[int, Field(ge=1)] | None = None
    max_documents: Annotated[int, Field(ge=1)] | None = None
    default_deadline_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    cache_scope: CacheScope | None = None
    fusion: FusionMethod | None = None
    fusion_weight: _Weight | None = None
    models: Annotated[list[ModelName], Field(min_length=1, max_length=_MAX_MODELS)] | None = None
    created: date | datetime | None = None
    expires: date | datetime | None = None

    def entry(self, defaults: _Defaults) -> Entry:
        burst = self.burst_tokens
        if self.tokens_per_s is None and burst is not None:
            raise ConfigurationError(f"key {self.name}: burst_tokens has no meaning without tokens_per_s")
        if self.tokens_per_s is not None and burst is None:
            burst = max(1.0, self.tokens_per_s * BURST_S)
        key = ApiKey(
            key_id=self.id,
            name=self.name,
            tenant=self.tenant or self.name,
            tokens_per_s=self.tokens_per_s,
            burst_tokens=burst,
            max_body_bytes=self.max_body_bytes,
            max_documents=self.max_documents,
            default_deadline_ms=self.default_deadline_ms,
            expires_at=_moment(self.expires),
            cache_scope=self.cache_scope or defaults.cache_scope,
            fusion=self.fusion or defaults.fusion,
            fusion_weight=defaults.fusion_weight if self.fusion_weight is None else self.fusion_weight,
            models=None if self.models is None else tuple(dict.fromkeys(self.models)),
        )
        return Entry(key, bytes.fromhex(self.sha256))


class _File(_Defaults):
    key: list[_Key] = []


def digest_of(secret: str) -> bytes:
    """Return the digest of a secret, as the file has it."""
    return hashlib.sha256(secret.encode()).digest()


def parse(text: str) -> list[Entry]:
    """Return the entries of a file; an empty text has none. Raises ConfigurationError that names the mistake."""
    try:
        entries = _checked(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        # Of a number of thousands of digits, and of brackets of that depth, tomllib says it in these.
        raise ConfigurationError(f"no valid TOML: {error}") from None
    for what in ("key_id", "name"):
        counts = Counter(getattr(entry.key, what) for entry in entries)
        if doubled := next((value for value, count in counts.items() if count > 1), None):
            raise ConfigurationError(f"two keys have the {what.removeprefix('key_')} {doubled!r}")
    return entries


def new_key(text: str, name: str, limits: Mapping[str, Any], today: date) -> tuple[str, str]:
    """Return a new key, as its owner will send it, and the file's text with an entry for it at the end.

    `limits` are fields of an entry; those that are None are left out. Raises ConfigurationError for a name that is
    taken, or a file that can't be read.
    """
    taken = parse(text)
    if any(entry.key.name == name for entry in taken):
        raise ConfigurationError(f"there is a key of the name {name!r}; revoke it first, or choose another name")
    key_id = _random(_ID_CHARACTERS, _ID_LENGTH)
    secret = _random(_SECRET_CHARACTERS, _SECRET_LENGTH)
    entry = {"id": key_id, "name": name, "sha256": digest_of(secret).hex()} | dict(limits) | {"created": today}
    entry = {field: value for field, value in entry.items() if value is not None}
    _checked({"key": [entry]})
    lines = [f"{field} = {_toml(value)}\n" for field, value in entry.items()]
    before = text if not text or text.endswith("\n") else text + "\n"
    return f"rrf_{key_id}_{secret}", "".join([before or _TOP, "\n[[key]]\n", *lines])


def without(text: str, name_or_id: str) -> tuple[ApiKey, str]:
    """Return the key of that name or id, and the file's text without its entry and the comment right above it.

    Raises ConfigurationError if there is no such key, or if the text is written so that its entry can't be cut out.
    """
    entries = parse(text)
    found = [number for number, entry in enumerate(entries) if name_or_id in (entry.key.name, entry.key.key_id)]
    if len(found) != 1:
        known = ", ".join(f"{entry.key.name} ({entry.key.key_id})" for entry in entries) or "none"
        how_many = "no key" if not found else "more than one key"
        raise ConfigurationError(f"{how_many} of the name or id {name_or_id!r}; there are: {known}")
    (number,) = found
    changed = _cut(text.splitlines(keepends=True), number)
    if changed is None or parse(changed) != entries[:number] + entries[number + 1 :]:
        raise ConfigurationError(f"the entry of {name_or_id!r} is not on lines of its own; delete it by hand")
    return entries[number].key, changed


def _checked(tables: Mapping[str, Any]) -> list[Entry]:
    try:
        file = _File.model_validate(tables)
        return [key.entry(file) for key in file.key]
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


def _cut(lines: Sequence[str], number: int) -> str | None:
    starts = [at for at, line in enumerate(lines) if _KEY_HEADER.match(line)]
    if number >= len(starts):
        return None
    start = starts[number]
    end = next((at for at in range(start + 1, len(lines)) if _HEADER.match(lines[at])), len(lines))
    if end < len(lines):
        # The comment above the next entry is that entry's.
        end = _comment_above(lines, end)
    return "".join([*lines[: _comment_above(lines, start)], *lines[end:]])


def _comment_above(lines: Sequence[str], at: int) -> int:
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    return at


def _moment(value: date | datetime | None) -> datetime | None:
    """A day means its first moment, and a time without an offset is UTC."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _toml(value: str | float | date | Sequence[str]) -> str:
    # A string of JSON is one of TOML too, since those that are written here are printable.
    return str(value) if isinstance(value, float | int | date) else json.dumps(value, ensure_ascii=False)


def _random(characters: str, count: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(count))


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        path = [str(part) for part in item["loc"]]
        fields = (_File if len(path) == 1 else _Key).model_fields
        said = f"no such field{did_you_mean(path[-1], fields)}" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{'.'.join(path)}: {said}")
    return "; ".join(lines)
