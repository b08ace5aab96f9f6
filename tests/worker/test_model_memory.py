"""The memory for one more model: by the setting, else by what cgroups and host have free."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_worker.model_memory import Room, room_for_models

MEMINFO = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n"


def tree(root: Path, **files: str) -> Path:
    """Write files by their paths below the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_budget_counts_what_the_models_take_and_nothing_else(tmp_path: Path) -> None:
    assert room_for_models(100, 30_000_000, tmp_path) == Room(100_000_000, 70_000_000, "RERANK_MODEL_MEMORY_MB")
    assert room_for_models(100, 130_000_000, tmp_path) == Room(100_000_000, 0, "RERANK_MODEL_MEMORY_MB")


def test_without_a_budget_it_is_what_the_host_has(tmp_path: Path) -> None:
    root = tree(tmp_path, **{"proc/meminfo": MEMINFO})
    assert room_for_models(None, 5, root) == Room(2_048_000, 1_024_000, "the memory of the host")


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        (
            "0::/pod\n",
            {"pod/memory.max": "900000", "pod/memory.current": "700000", "pod/memory.stat": "inactive_file 50000"},
        ),
        (
            "4:memory:/pod\n",
            {
                "memory/pod/memory.limit_in_bytes": "900000",
                "memory/pod/memory.usage_in_bytes": "700000",
                "memory/pod/memory.stat": "inactive_file 1\ntotal_inactive_file 50000\n",
            },
        ),
    ],
)
def test_a_cgroup_that_has_less_is_the_bound_and_its_cache_counts_as_free(
    tmp_path: Path, cgroup: str, files: dict[str, str]
) -> None:
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    root = tree(tmp_path, **{"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup}, **files)
    assert room_for_models(None, 5, root) == Room(900_000, 250_000, "the limit of the cgroup")


def test_a_cgroup_without_a_limit_bounds_nothing(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/pod/memory.max": "max", "sys/fs/cgroup/pod/memory.current": "5"}
    root = tree(tmp_path, **{"proc/self/cgroup": "0::/pod\n"}, **files)
    assert room_for_models(None, 5, root) is None


def test_what_does_not_fit_is_refused_with_numbers_and_a_way_out() -> None:
    room = Room(100_000_000, 70_000_000, "RERANK_MODEL_MEMORY_MB")
    room.refuse("file:/fits", 70_000_000)
    with pytest.raises(ConfigurationError) as refused:
        room.refuse("file:/large", 71_000_000)
    assert refused.value.message == (
        "file:/large needs 71 MB by its files, and 70 MB of 100 MB (RERANK_MODEL_MEMORY_MB) are free: unload another "
        "model, or raise it"
    )
    with pytest.raises(ConfigurationError, match=r"0 MB of 1 MB \(the memory of the host\) are free: unload another m"):
        Room(1_000_000, 0, "the memory of the host").refuse("file:/large", 1)
