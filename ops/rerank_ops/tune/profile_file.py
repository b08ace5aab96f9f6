"""Profile file: writes the chosen settings, each with its reason as a comment, and the host and model they suit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rerank_ops.tune.policy import Choice
from rerank_producer.bulk.files.durable import write_whole
from rerank_shared.profile import MADE_FOR


def write_profile(path: Path, choice: Choice, made_for: Mapping[str, Any], by: str = "rerank-fleet tune") -> None:
    """Write a profile for `RERANK_PROFILE`, atomically; `by` is the command that chose.

    `made_for` may hold texts, numbers, dates and tables of them. Raises OSError.
    """
    write_whole(path, profile_text(choice, made_for, by))


def profile_text(choice: Choice, made_for: Mapping[str, Any], by: str = "rerank-fleet tune") -> str:
    """Return the TOML of a profile."""
    title = [f"# Settings that `{by}` chose. Use them with RERANK_PROFILE=this file; variables come first."]
    lines = title + [f"# Beware: {_comment(note)}." for note in choice.notes] + [""]
    for name, value in choice.values.items():
        if name in choice.reasons:
            lines.append(f"# {_comment(choice.reasons[name])}")
        lines.append(f"{name} = {_value(value)}")
    return "\n".join([*lines, "", *_table(MADE_FOR, {"made_by": by, **made_for})]) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in values.items() if key not in tables)]
    for key, value in tables.items():
        lines += ["", *_table(f"{name}.{_key(key)}", value)]
    return lines


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    # JSON's texts, numbers and booleans are valid TOML, except for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return " ".join(text.split())
