"""Weights packed for this CPU: written once, the same bits as without, and never a reason not to start."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ModelDamaged
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.precision import PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import load_settings
from rerank_worker.engine import PackedWeights, open_engine, packed, published
from rerank_worker.tokenizing import EncodedPair
from support.model.artefacts import damage
from support.model.exports import pairs_of, write_export

FILES = {"unpadded.onnx", "unpadded.bin", "tail.onnx", "tail.bin"}
#: Opens an export on packed weights and prints the scores' bits; what it warns of goes to stderr.
OPEN = """
import resource, sys
sys.path[:0] = ["tests"]
from pathlib import Path
from rerank_shared.models.catalogue import load_files
from rerank_worker.engine import PackedWeights, open_engine
from support.model.exports import pairs_of
files, weights, pairs = load_files(sys.argv[1]), PackedWeights(Path(sys.argv[2])), pairs_of([40, 8, 100, 17])
sys.stdin.read()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
print(open_engine(files, packed=weights).score(pairs).tobytes().hex())
"""


@cache
def pairs() -> list[EncodedPair]:
    return pairs_of([40, 8, 100, 17])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return load_files(f"file:{write_export(tmp_path_factory.mktemp('exports') / 'fp32')}")


@pytest.fixture(scope="module")
def expected(files: ModelFiles) -> bytes:
    """The scores without packed weights."""
    return open_engine(files).score(pairs()).tobytes()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "packed"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING):
        yield lambda: [record.getMessage() for record in caplog.records]


def scores(files: ModelFiles, place: Path | None) -> bytes:
    return open_engine(files, packed=PackedWeights(place)).score(pairs()).tobytes()


def written(place: Path) -> dict[str, tuple[int, int]]:
    """Every file under `place` by its name, with what changes when it is written anew."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in place.rglob("*")
        if path.is_file() and path.name != "digests.json"
    }


def start(files: ModelFiles, place: Path, largest_file: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, files.source, str(place), str(largest_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestWriting:
    @pytest.mark.parametrize("precision", ["fp32", "int8", "int8-static"])
    def test_all_layouts_give_the_bits_that_they_give_without(
        self, precision: PrecisionName, tmp_path: Path, place: Path, warnings: Callable[[], list[str]]
    ) -> None:
        files = load_files(f"file:{write_export(tmp_path / 'export', precision)}")
        assert files.manifest is not None
        for layout in files.manifest.layouts:
            shape = RunShape(layout)
            plain = open_engine(files, shape).score(pairs())
            for _ in ("written", "read"):
                engine = open_engine(files, shape, packed=PackedWeights(place))
                assert engine.score(pairs()).tobytes() == plain.tobytes()
            assert (place / layout / f"{layout}.onnx").is_file()
            assert not warnings()

    def test_they_are_written_once_and_nothing_is_left_beside(
        self, files: ModelFiles, place: Path, expected: bytes, warnings: Callable[[], list[str]]
    ) -> None:
        assert scores(files, place) == expected
        first = written(place)
        assert first.keys() == FILES
        assert scores(files, place) == expected
        assert written(place) == first
        assert sorted(path.name for path in place.iterdir()) == ["tail", "unpadded"]
        assert not warnings()

    def test_another_process_reads_what_was_written(self, files: ModelFiles, place: Path, expected: bytes) -> None:
        scores(files, place)
        before = written(place)
        told, warned = start(files, place).communicate(timeout=60)
        assert told.strip() == expected.hex(), warned
        assert written(place) == before
        assert "not packed" not in warned

    def test_the_second_open_reads_the_packed_file(self, files: ModelFiles, place: Path) -> None:
        """Two exports that differ in their weights: the second one, at the first one's place, scores as the first."""
        first = scores(files, place)
        other = write_export(place.parent / "other", seed=1)
        assert scores(load_files(f"file:{other}"), None) != first
        assert scores(load_files(f"file:{other}"), place) == first

    def test_who_may_read_the_place_may_read_what_lies_there(self, files: ModelFiles, place: Path) -> None:
        place.mkdir(mode=0o751)
        place.chmod(0o751)
        scores(files, place)
        assert {oct((place / name).stat().st_mode & 0o777) for name in ("unpadded", "tail")} == {oct(0o751)}

    def test_processes_that_start_together_all_end_well(self, files: ModelFiles, place: Path, expected: bytes) -> None:
        racers = [start(files, place) for _ in range(3)]
        for racer in racers:
            # All have come as far as the opening when the pipes close, one after another at once.
            assert racer.stdin is not None
            racer.stdin.close()
            racer.stdin = None
        for racer in racers:
            told, warned = racer.communicate(timeout=60)
            assert told.strip() == expected.hex(), warned
            assert "not packed" not in warned
        assert written(place).keys() == FILES
        assert sorted(path.name for path in place.iterdir()) == ["tail", "unpadded"]


class TestRaces:
    def test_one_who_was_second_leaves_the_first_one_s_files(
        self, files: ModelFiles, place: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scores(files, place)
        first = written(place)
        # It looked before the other one had come to an end.
        looked: list[Path] = []
        whole = published.is_whole

        def late(directory: Path) -> bool:
            looked.append(directory)
            return looked.count(directory) > 1 and whole(directory)

        monkeypatch.setattr(packed, "is_whole", late)
        assert scores(files, place) == expected
        assert written(place) == first


class TestFallback:
    def test_off_writes_nothing(self, files: ModelFiles, expected: bytes) -> None:
        assert PackedWeights.of(load_settings(packed_dir="off"), files.model_digest) == PackedWeights(None)
        assert scores(files, None) == expected

    def test_a_place_that_can_t_be_written_is_told(
        self, files: ModelFiles, tmp_path: Path, expected: bytes, warnings: Callable[[], list[str]]
    ) -> None:
        (tmp_path / "file").write_text("no directory")
        assert scores(files, tmp_path / "file" / "packed") == expected
        told = warnings()
        assert len(told) == 2
        assert all("weights not packed, each process keeps its own copy" in warning for warning in told)

    @pytest.mark.parametrize("room", [10, 5_000, 100_000])
    def test_a_full_disk_is_told(self, files: ModelFiles, place: Path, expected: bytes, room: int) -> None:
        """A limit on the size of files fails as a full disk does: in ONNX Runtime, in the middle of a write."""
        told, warned = start(files, place, room).communicate(timeout=60)
        assert told.strip() == expected.hex(), warned
        assert "weights not packed, each process keeps its own copy" in warned
        assert not (place / "unpadded").exists()
        assert not list(place.glob(".*"))

    @pytest.mark.parametrize("name", ["unpadded.bin", "unpadded.onnx", "digests.json"])
    @pytest.mark.parametrize("how", ["changed", "cut", "zeros", "gone"])
    def test_a_damaged_file_is_never_scored_with_and_written_anew(
        self, files: ModelFiles, place: Path, expected: bytes, name: str, how: str
    ) -> None:
        scores(files, place)
        path = place / "unpadded" / name
        content = path.read_bytes()
        if how == "changed":
            damage(path)
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(content[: len(content) // 2] if how == "cut" else bytes(len(content)))
        assert scores(files, place) == expected
        assert path.read_bytes() == content
        assert sorted(path.name for path in place.iterdir()) == ["tail", "unpadded"]

    def test_whatever_else_lies_there_is_replaced(
        self, files: ModelFiles, place: Path, expected: bytes, warnings: Callable[[], list[str]]
    ) -> None:
        scores(files, place)
        (place / "unpadded" / "unpadded.bin").unlink()
        (place / "unpadded" / "unpadded.bin").mkdir()
        (place / "tail").rename(place.parent / "tail")
        (place / "tail").write_text("no directory")
        assert scores(files, place) == expected
        assert written(place).keys() == FILES
        assert not warnings()

    def test_a_file_that_onnx_runtime_refuses_is_told(
        self, files: ModelFiles, place: Path, expected: bytes, warnings: Callable[[], list[str]]
    ) -> None:
        """As one of a runtime with another layout would be, if its version did not stand in the place's name."""
        scores(files, place)
        path = place / "tail" / "tail.onnx"
        path.write_bytes(b"of another runtime")
        digests = json.loads((place / "tail" / "digests.json").read_text())
        digests["tail.onnx"] = file_digest(str(path))
        (place / "tail" / "digests.json").write_text(json.dumps(digests))
        assert scores(files, place) == expected
        (told,) = warnings()
        assert "weights not packed" in told
        assert "tail.onnx can't be loaded" in told

    def test_where_they_give_other_bits_they_are_not_used(
        self,
        files: ModelFiles,
        place: Path,
        expected: bytes,
        warnings: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(packed, "_equal", lambda *_: False)
        assert scores(files, place) == expected
        assert all("give other scores on this host" in told for told in warnings())
        assert len(warnings()) == 2
        assert list(place.iterdir()) == []

    def test_a_damaged_export_is_still_told(self, tmp_path: Path, place: Path) -> None:
        files = load_files(f"file:{write_export(tmp_path / 'export')}")
        files.model_path.with_name("weights.bin").write_bytes(b"")
        with pytest.raises(ModelDamaged, match=r"export/unpadded\.onnx can't be loaded"):
            scores(files, place)
