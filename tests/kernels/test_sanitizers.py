"""The kernels' own program of made-up batches, built with the sanitizers of addresses and undefined behaviour."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from kernels.conftest import SOURCE, Built

pytestmark = [pytest.mark.xdist_group("kernels"), pytest.mark.timeout(600)]

SANITIZE = ["-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c++17", "-ffp-contract=off", "-fno-math-errno", f"-I{SOURCE / 'src'}", f"-I{SOURCE / 'tests'}"]


def test_made_up_batches_pass_under_sanitizers(build_libraries: ModuleType, built: Built, tmp_path: Path) -> None:
    cxx = build_libraries.compiler()
    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() {}\n", encoding="utf-8")
    try:
        build_libraries.run([*cxx, *SANITIZE, str(empty), "-o", str(tmp_path / "empty")])
    except build_libraries.BuildError:
        pytest.skip("the compiler has no sanitizers here")

    # Vector code takes a minute to be optimised with sanitizers in it, and is fast enough without.
    here = [variant for variant in build_libraries.VARIANTS if built.package.runs_here(variant.name) is None]
    units: dict[Path, list[str]] = {
        variant.engine_unit: [*variant.flags, "-O1" if variant.name == "portable" else "-O0"] for variant in here
    }
    engines = ",".join(f"&{variant.engine}" for variant in reversed(here))
    units[SOURCE / "tests" / "fuzz.cpp"] = ["-O1", f"-DRERANK_ENGINES={engines}"]

    def compiled(unit: tuple[Path, list[str]]) -> str:
        path, flags = unit
        made = str(tmp_path / f"{path.stem}.o")
        build_libraries.run([*cxx, *SANITIZE, *FLAGS, *flags, "-c", str(path), "-o", made])
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, units.items()))
    program = tmp_path / "fuzz"
    build_libraries.run([*cxx, *SANITIZE, *objects, "-o", str(program)])
    done = subprocess.run([program, "1", "12"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("engine ")] == [
        f"engine {variant.name}" for variant in reversed(here)
    ]
    assert "12 rounds, 0 failures" in done.stdout
