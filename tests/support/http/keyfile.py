"""Entries of the file of keys, as tests write them."""

from __future__ import annotations

import hashlib
from datetime import date

from rerank_producer.gateway.auth.keyfile import new_key

TODAY = date(2026, 11, 3)
DIGEST = hashlib.sha256(b"secret").hexdigest()


def made(text: str, name: str, **limits: object) -> tuple[str, str]:
    return new_key(text, name, limits, TODAY)


def an_entry(**fields: str) -> str:
    values = {"id": '"abcdefgh"', "name": '"search"', "sha256": f'"{DIGEST}"'} | fields
    return "[[key]]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
