"""Metadata of a run beside its output: what scored it, on what hardware, at what effort.

The layout is that of ir_metadata (ir-metadata.org; Breuer, Keller, Schaer, SIGIR 2022). What this command can't know,
such as who ran it and for what, is left for its user to add.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rerank_producer.bulk.bulk_run import Summary
from rerank_producer.bulk.files.durable import whole_file
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.models.cpu import cpu_name
from rerank_shared.settings import Settings

_PACKAGES = ("rerank-fleet", "onnxruntime", "tokenizers", "celery", "redis")


def metadata_of(output: Path) -> Path:
    """Return the file of an output's metadata."""
    return output.with_name(output.name + ".ir-metadata.yml")


def write_metadata(output: Path, spec: BulkSpec, summary: Summary, settings: Settings, seconds: float) -> None:
    """Write the metadata of a run. Raises OSError."""
    target = metadata_of(output)
    part = target.with_name(target.name + ".part")
    text = "\n".join(_yaml(_described(output, spec, summary, settings, seconds))) + "\n"
    with whole_file(target, part):
        part.write_text(text, encoding="utf-8")


def _described(output: Path, spec: BulkSpec, summary: Summary, settings: Settings, seconds: float) -> dict[str, Any]:
    totals = summary.totals
    return {
        "platform": {
            "hardware": {
                "cpu": {
                    "model": cpu_name(),
                    "architecture": platform.machine(),
                    "number of cores": os.cpu_count(),
                },
                "ram": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
            },
            "operating system": {"kernel": platform.release(), "distribution": _distribution()},
            "software": {"python": platform.python_version(), **_packages()},
        },
        "implementation": {"executable": {"cmd": " ".join(["rerank-fleet", *sys.argv[1:]])}},
        "method": {
            "automatic": True,
            "retrieval": {
                "reranker": dict(summary.identity),
                "depth": spec.read.depth,
                "top_n": spec.write.top_n,
                "fusion": {
                    "method": spec.fusion.method,
                    "weight": spec.fusion.weight,
                    "ratio": summary.ratio,
                },
            },
        },
        "data": {name: None if path is None else str(path) for name, path in spec.format.inputs().items()},
        "effort": {
            "command seconds": round(seconds, 3),
            "queries": totals.queries,
            "failed queries": totals.failed_queries,
            "pairs scored": totals.pairs_run,
            "pairs cached": totals.pairs_cached,
            "tokens": totals.tokens,
        },
        "run": {"file": output.name, "tag": spec.write.tag, "namespace": settings.namespace},
    }


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform()


def _yaml(values: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Yield the lines of nested mappings as YAML; scalars as JSON, which is YAML too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{'  ' * indent}{name}:"
            yield from _yaml(value, indent + 1)
        else:
            yield f"{'  ' * indent}{name}: {json.dumps(value, ensure_ascii=False)}"
