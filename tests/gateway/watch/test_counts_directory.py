"""What a killed gateway left in memory is removed by the next start, and nothing that somebody still uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rerank_producer.gateway.watch.counts_directory import PREFIX, counts_directory, hold, sweep

USER = """
import sys
from pathlib import Path
from rerank_producer.gateway.watch.counts_directory import counts_directory
with counts_directory(Path(sys.argv[1])) as path:
    (path / "counter_1.db").write_bytes(b"x")
    print(path, flush=True)
    sys.stdin.read()
"""


def started(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None
    return user, Path(user.stdout.readline().strip())


def test_a_killed_gateway_s_directory_goes_and_a_living_one_s_stays(tmp_path: Path) -> None:
    (killed, left), (alive, used) = started(tmp_path), started(tmp_path)
    # A process of the killed gateway that lives on.
    killed_too, orphaned = started(tmp_path)
    child = hold(orphaned)
    for process in (killed, killed_too):
        process.kill()
        process.communicate()
    (tmp_path / f"{PREFIX}file").touch()
    assert left.is_dir()
    with counts_directory(tmp_path) as path:
        assert sorted(each for each in tmp_path.iterdir() if each.is_dir()) == sorted([path, used, orphaned])
    assert not path.exists()
    os.close(child)
    sweep(tmp_path)
    assert [each for each in tmp_path.iterdir() if each.is_dir()] == [used]
    alive.communicate()
    assert alive.returncode == 0
    assert not used.exists()
