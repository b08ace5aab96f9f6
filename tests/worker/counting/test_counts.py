"""What worker processes count: each number once, in memory that others read, whatever ends the one that counts."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter as Tally
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rerank_worker.counting import collectors as counting
from rerank_worker.counting.block import BLOCK_BYTES, Counts
from rerank_worker.counting.collectors import Counter, Histogram, count_in
from rerank_worker.counting.memory import CountsMemory, own_counts

keys = st.binary(min_size=1, max_size=40)
additions = st.lists(st.tuples(keys, st.integers(0, 1_000)), max_size=60)


class TestCounts:
    @given(st.lists(additions, max_size=4))
    def test_the_next_user_of_a_block_goes_on_with_its_numbers(self, users: list[list[tuple[bytes, int]]]) -> None:
        block, expected = bytearray(BLOCK_BYTES), Tally[bytes]()
        for user in users:
            counts = Counts(block)
            for key, amount in user:
                counts.add((key, float(amount)))
                expected[key] += amount
            assert Counts(block).read() == dict(expected.items())

    @given(additions)
    def test_a_block_that_is_full_loses_only_what_is_new(self, added: list[tuple[bytes, int]]) -> None:
        counts, expected = Counts(bytearray(200)), Tally[bytes]()
        counts.add((b"first", 1.0))
        for key, amount in added:
            counts.add((b"first", 1.0), (key + b"!", float(amount)))
            expected[key + b"!"] += amount
        told = counts.read()
        assert told.pop(b"first") == 1 + len(added)
        assert told.items() <= expected.items()

    def test_threads_lose_no_count(self) -> None:
        counts = Counts(bytearray(BLOCK_BYTES))
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=_count_up, args=(counts, number)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        assert counts.read() == {b"all": 20_000.0} | {b"of %d" % number: 5_000.0 for number in range(4)}

    def test_what_is_read_while_somebody_writes_never_falls(self) -> None:
        counts = Counts(bytearray(BLOCK_BYTES))
        writer = threading.Thread(target=_count_up, args=(counts, 1))
        writer.start()
        seen = [0.0]
        while writer.is_alive():
            seen.append(counts.read().get(b"all", 0.0))
        writer.join()
        assert all(one <= other for one, other in pairwise(seen))


def _count_up(counts: Counts, number: int) -> None:
    for _ in range(5_000):
        counts.add((b"all", 1.0), (b"of %d" % number, 1.0))


@pytest.fixture
def memory() -> Iterator[CountsMemory]:
    made = CountsMemory(2)
    yield made
    made.close()


def told(memory: CountsMemory) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(memory)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


class TestMetrics:
    @pytest.fixture(autouse=True)
    def _here(self, memory: CountsMemory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "_here", counting._here)
        monkeypatch.setattr(counting, "_unlabelled", [])
        counts = own_counts({"FLEET_COUNTS_FD": str(memory.fd), "FLEET_COUNTS_PLACE": "1"})
        assert counts is not None
        count_in(counts)

    def test_a_counter_with_labels(self, memory: CountsMemory) -> None:
        jobs = Counter("jobs", "Jobs.", ["class", "outcome"])
        jobs.labels("bulk", "complete").inc()
        jobs.labels("bulk", "complete").inc(2)
        jobs.labels("bulk", 'odd "one"\n').inc()
        assert jobs.labels("bulk", "complete").value == 3
        assert told(memory) == {
            ("jobs_total", (("class", "bulk"), ("outcome", "complete"))): 3,
            ("jobs_total", (("class", "bulk"), ("outcome", 'odd "one"\n'))): 1,
        }

    @given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
    def test_a_histogram_counts_each_value_in_its_bucket_and_all_above(self, values: list[float]) -> None:
        memory = CountsMemory(1)
        count_in(Counts(mmap.mmap(memory.fd, BLOCK_BYTES)))
        histogram = Histogram("seconds", "Seconds.", ["stage"], buckets=[1.0, 10.0, 50.5]).labels("run")
        for value in values:
            histogram.observe(value)
        samples = told(memory)
        memory.close()
        for limit in ("1.0", "10.0", "50.5", "+Inf"):
            within = sum(value <= float(limit) for value in values)
            assert samples["seconds_bucket", (("le", limit), ("stage", "run"))] == within
        assert samples["seconds_count", (("stage", "run"),)] == len(values)
        assert samples["seconds_sum", (("stage", "run"),)] == pytest.approx(sum(values))

    def test_one_without_labels_is_there_before_anything_is_counted(self, memory: CountsMemory) -> None:
        Counter("events", "Events.")
        Histogram("sizes", "Sizes.", buckets=[1.0])
        count_in(Counts(mmap.mmap(memory.fd, BLOCK_BYTES)))
        assert told(memory)["events_total", ()] == 0
        assert told(memory)["sizes_bucket", (("le", "+Inf"),)] == 0

    def test_processes_add_up(self, memory: CountsMemory) -> None:
        events = Counter("events", "Events.")
        events.inc(2)
        count_in(Counts(mmap.mmap(memory.fd, BLOCK_BYTES)))
        events.inc(5)
        assert told(memory) == {("events_total", ()): 7}


def test_a_process_that_was_not_asked_counts_for_itself() -> None:
    assert own_counts({}) is None
    assert own_counts({"FLEET_COUNTS_FD": "", "FLEET_COUNTS_PLACE": "0"}) is None


def test_a_memory_that_is_gone_is_told() -> None:
    with pytest.raises(OSError):  # noqa: PT011
        own_counts({"FLEET_COUNTS_FD": "9999", "FLEET_COUNTS_PLACE": "0"})


KILLED = """
import os, sys
from rerank_worker.counting.collectors import Counter, count_in
from rerank_worker.counting.memory import own_counts
count_in(own_counts(os.environ))
kinds, number = Counter("kinds", "Kinds.", ["number"]), 0
while True:
    number += 1
    kinds.labels(str(number % 300)).inc()
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_process_killed_at_any_moment_loses_nothing_that_it_counted(memory: CountsMemory, seed: int) -> None:
    """New series, of which each makes the block longer, included: the kill may fall between any two writes."""
    least = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED],
            stdout=subprocess.PIPE,
            env=os.environ | {"FLEET_COUNTS_FD": str(memory.fd), "FLEET_COUNTS_PLACE": "0"},
            pass_fds=(memory.fd,),
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(random.Random(seed).randint(1, 250))]
        process.send_signal(signal.SIGKILL)
        with process.stdout:
            lines += process.stdout.readlines()
        process.wait()
        least += max(int(line) for line in lines if line.endswith(b"\n"))
        total = sum(told(memory).values())
        # One may have been counted and not printed.
        assert least <= total <= least + 1
        least = int(total)


def test_without_memory_files_it_is_a_file_that_has_all_its_blocks_and_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    memory = CountsMemory(2)
    assert os.fstat(memory.fd).st_blocks * 512 >= 2 * BLOCK_BYTES
    assert os.fstat(memory.fd).st_nlink == 0
    counts = own_counts({"FLEET_COUNTS_FD": str(memory.fd), "FLEET_COUNTS_PLACE": "1"})
    assert counts is not None
    counts.add((b'["counter", "events", "Events.", {}]', 3.0))
    assert told(memory) == {("events_total", ()): 3}
    memory.close()


def test_a_closed_memory_is_still_safe_to_count_in() -> None:
    memory = CountsMemory(1)
    counts = own_counts({"FLEET_COUNTS_FD": str(memory.fd), "FLEET_COUNTS_PLACE": "0"})
    memory.close()
    assert counts is not None
    counts.add((b"key", 1.0))
    assert counts.read() == {b"key": 1.0}
