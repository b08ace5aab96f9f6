"""Cores and quotas, read from trees of files as the kernel lays them out."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from rerank_worker.cgroups import parse_cgroup
from rerank_worker.supervisor.cores import (
    affinity,
    available_cores,
    cpu_quota,
    parse_cpu_max,
    pinnable_cores,
    spread,
)


def tree(root: Path, cgroup: str, **files: str) -> Path:
    """Write /proc/self/cgroup, and files below /sys/fs/cgroup."""
    write(root / "proc/self/cgroup", cgroup)
    for name, text in files.items():
        write(root / "sys/fs/cgroup" / name, text)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {7, 3, 1, 0, 2, 6, 5, 4}, raising=False)


class TestQuota:
    def test_v2_in_the_own_cgroup(self, tmp_path: Path) -> None:
        root = tree(tmp_path, "0::/kube/pod\n", **{"kube/pod/cpu.max": "250000 100000\n"})
        assert cpu_quota(root) == 2.5

    def test_v2_in_a_namespace_sees_itself_as_the_root(self, tmp_path: Path) -> None:
        assert cpu_quota(tree(tmp_path, "0::/\n", **{"cpu.max": "150000 100000\n"})) == 1.5

    def test_the_tightest_ancestor_wins(self, tmp_path: Path) -> None:
        files = {"a/b/c/cpu.max": "max 100000\n", "a/b/cpu.max": "300000 100000\n", "a/cpu.max": "100000 50000\n"}
        assert cpu_quota(tree(tmp_path, "0::/a/b/c\n", **files)) == 2.0

    def test_a_sibling_does_not_count(self, tmp_path: Path) -> None:
        assert cpu_quota(tree(tmp_path, "0::/a\n", **{"a/cpu.max": "max 100000", "b/cpu.max": "1 100000"})) is None

    @pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
    def test_v1(self, tmp_path: Path, mount: str) -> None:
        cgroup = "5:memory:/other\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n"
        files = {
            f"{mount}/docker/abc/cpu.cfs_quota_us": "400000\n",
            f"{mount}/docker/abc/cpu.cfs_period_us": "100000\n",
            f"{mount}/cpu.cfs_quota_us": "-1\n",
            f"{mount}/cpu.cfs_period_us": "100000\n",
        }
        assert cpu_quota(tree(tmp_path, cgroup, **files)) == 4.0

    def test_v1_with_a_path_of_the_host_falls_back_to_the_mount(self, tmp_path: Path) -> None:
        files = {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}
        assert cpu_quota(tree(tmp_path, "4:cpu:/docker/of-the-host\n", **files)) == 0.5

    def test_v1_without_quota(self, tmp_path: Path) -> None:
        files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
        assert cpu_quota(tree(tmp_path, "4:cpu:/\n", **files)) is None

    def test_v2_beside_v1(self, tmp_path: Path) -> None:
        files = {
            "unified/mine/cpu.max": "300000 100000",
            "cpu/cpu.cfs_quota_us": "200000",
            "cpu/cpu.cfs_period_us": "100000",
        }
        assert cpu_quota(tree(tmp_path, "1:cpu:/\n0::/mine\n", **files)) == 2.0

    def test_outside_its_namespace_the_visible_root_counts(self, tmp_path: Path) -> None:
        assert cpu_quota(tree(tmp_path, "0::/../../elsewhere\n", **{"cpu.max": "100000 100000"})) == 1.0

    def test_without_any_files_there_is_none(self, tmp_path: Path) -> None:
        assert cpu_quota(tmp_path) is None

    @pytest.mark.parametrize("text", ["", "max 100000", "nonsense", "0 100000", "100 0", "-5 100000", "1 2 3"])
    def test_what_is_no_limit(self, text: str) -> None:
        assert parse_cpu_max(text) is None

    def test_a_period_left_out_is_a_tenth_of_a_second(self) -> None:
        assert parse_cpu_max("200000") == 2.0

    def test_a_path_may_hold_colons(self) -> None:
        assert list(parse_cgroup("0::/a:b/c\nbroken\n3:cpu,cpuacct:/\n")) == [
            (frozenset(), PurePosixPath("a:b/c")),
            (frozenset({"cpu", "cpuacct"}), PurePosixPath()),
        ]


class TestCores:
    @pytest.mark.usefixtures("eight_cores")
    def test_without_quota_all_of_the_affinity_may_be_used_and_pinned(self, tmp_path: Path) -> None:
        assert available_cores(tmp_path) == tuple(range(8))
        assert pinnable_cores(tmp_path) == tuple(range(8))

    @pytest.mark.usefixtures("eight_cores")
    @pytest.mark.parametrize(
        ("limit", "count"), [("1000", 1), ("100000", 1), ("290000", 2), ("799999", 7), ("800000", 8), ("9000000", 8)]
    )
    def test_a_quota_is_rounded_down_but_leaves_one(self, tmp_path: Path, limit: str, count: int) -> None:
        root = tree(tmp_path, "0::/\n", **{"cpu.max": f"{limit} 100000"})
        assert available_cores(root) == tuple(range(count))

    @pytest.mark.usefixtures("eight_cores")
    def test_under_a_quota_nothing_is_pinned_because_every_container_would_choose_the_same_cores(
        self, tmp_path: Path
    ) -> None:
        root = tree(tmp_path, "0::/\n", **{"cpu.max": "200000 100000"})
        assert available_cores(root) == (0, 1)
        assert pinnable_cores(root) == ()

    def test_without_affinity_all_cores_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        assert available_cores(tmp_path) == (0, 1, 2)
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert available_cores(tmp_path) == (0,)

    def test_this_machine(self) -> None:
        assert 1 <= len(available_cores()) <= len(affinity())
        assert set(available_cores()) <= set(affinity())

    @pytest.mark.parametrize(
        ("processes", "cores", "pins"),
        [(3, (4, 6, 7), (4, 6, 7)), (2, (4, 6, 7), (None, None)), (3, (0, 1), (None, None, None)), (1, (), (None,))],
    )
    def test_processes_are_pinned_where_each_core_has_one(
        self, processes: int, cores: tuple[int, ...], pins: tuple[int | None, ...]
    ) -> None:
        assert spread(processes, cores) == pins
