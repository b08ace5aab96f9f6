"""The fingerprint of a bulk run: all that its output depends on. A run goes on only where it is the same.

What cannot change the output is not in it: paths, the server, the window, how things are logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.identity import sampled
from rerank_shared.contract.messages import ScoringIdentity

#: Raised when the same rows and answers would be written as other bytes.
OUTPUT_RELEASE = 1
#: A file is told by its size and by so many parts of it, evenly spread. The chunks that a run commits have digests of
#: all their bytes.
_SAMPLES = 64
_SAMPLE_BYTES = 1 << 16

Fingerprint = dict[str, Any]


def file_identity(path: Path) -> dict[str, Any]:
    """Return the size of a file and the digest of its samples. Raises OSError."""
    size, digest = sampled(path, _SAMPLES, _SAMPLE_BYTES)
    return {"bytes": size, "digest": digest}


def of_inputs(inputs: Mapping[str, Path | None]) -> Fingerprint:
    """Return the part of a fingerprint that says what is read. Raises OSError."""
    found: Fingerprint = {}
    for name, path in inputs.items():
        if path is None:
            found[name] = "standard input"
        else:
            found |= {f"{name} {part}": value for part, value in file_identity(path).items()}
    return found


def of_identity(identity: ScoringIdentity, max_length: int | None) -> Fingerprint:
    """Return the part of a fingerprint that says what scores; `max_length` is what is asked for, None: the model's."""
    return {
        "model": identity.model,
        "model digest": identity.model_digest,
        "tokenizer digest": identity.tokenizer_digest,
        "precision": identity.precision,
        "template": identity.template,
        "truncation": identity.truncation,
        "activation": identity.activation,
        "max_length": min(max_length or identity.max_length, identity.max_length),
    }


def differences(begun_with: Fingerprint, now: Fingerprint) -> list[str]:
    """Return a line for each field that differs, in the order of their names."""
    return [
        f"{name}: was {begun_with.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(begun_with.keys() | now.keys())
        if begun_with.get(name) != now.get(name)
    ]
