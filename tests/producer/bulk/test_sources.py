"""Sources: the same bytes from any position, however a file is compressed; damage is told with the file's name."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.bulk.files.sources import compressor, open_source, plain_name, shown
from rerank_shared.errors import ConfigurationError, InputRefused

SUFFIXES = ["", ".gz", ".zst"]
PARTS = st.lists(st.binary(max_size=300), max_size=5)


def written(folder: Path, suffix: str, parts: list[bytes]) -> Path:
    path = folder / f"input.jsonl{suffix}"
    compress = compressor(path)
    path.write_bytes(b"".join(compress(part) for part in parts))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(parts=PARTS, share=st.floats(0, 1))
def test_content_is_read_from_any_byte(
    suffix: str, parts: list[bytes], share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, whole = written(tmp_path_factory.mktemp("sources"), suffix, parts), b"".join(parts)
    position = int(len(whole) * share)
    with open_source(path, position) as stream:
        assert stream.read() == whole[position:]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_much_is_read_line_by_line(suffix: str, tmp_path: Path) -> None:
    lines = [b"%d %s\n" % (number, os.urandom(20).hex().encode()) for number in range(60_000)]
    path = written(tmp_path, suffix, [b"".join(lines[:10]), b"".join(lines[10:])])
    with open_source(path) as stream:
        assert list(stream) == lines


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_cut_short_is_refused(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, suffix, [b"first part", os.urandom(5_000)])
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) - 2_000, len(data) - 5_005):
        path.write_bytes(data[:length])
        with open_source(path) as stream, pytest.raises(InputRefused, match=r"input\.jsonl.*cut short"):
            stream.read()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_what_is_not_compressed_at_all_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"input{suffix}"
    path.write_bytes(b"plain text, and a good deal of it")
    with open_source(path) as stream, pytest.raises(InputRefused, match="damaged"):
        stream.read()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_position_behind_the_end_is_told(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="it has 3 bytes, and 9 were read before"):
        open_source(written(tmp_path, suffix, [b"abc"]), 9)


def test_parts_are_read_by_others_too(tmp_path: Path) -> None:
    parts = [b"one\n", b"two\n"]
    assert gzip.decompress(written(tmp_path, ".gz", parts).read_bytes()) == b"one\ntwo\n"
    frames = zstandard.ZstdDecompressor().stream_reader(
        written(tmp_path, ".zst", parts).read_bytes(), read_across_frames=True
    )
    assert frames.read() == b"one\ntwo\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_part_gives_the_same_bytes(suffix: str) -> None:
    first, second = (compressor(Path(f"out{suffix}"))(b"text" * 99) for _ in range(2))
    assert first == second
    assert compressor(Path(f"out{suffix}"))(b"") == b""


def test_standard_input_is_read_from_any_byte() -> None:
    script = (
        "import sys; from rerank_producer.bulk.files.sources import open_source;"
        "sys.stdout.buffer.write(open_source(None, 3).read())"
    )
    run = subprocess.run([sys.executable, "-c", script], input=b"abcdef" * 9, capture_output=True, check=True)
    assert run.stdout == (b"abcdef" * 9)[3:]


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, ".zst", [b"abc"])
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for action in (lambda: open_source(path), lambda: compressor(path)):
        with pytest.raises(ConfigurationError, match=r"pip install 'rerank-fleet\[bulk\]'"):
            action()


def test_names_and_bytes_for_people() -> None:
    assert [plain_name(Path(name)) for name in ("A.JSONL", "a.tsv.GZ", "b.zst")] == ["a.jsonl", "a.tsv", "b"]
    assert shown(b"ab") == "b'ab'"
    assert shown(b"a" * 99).endswith(" …")
