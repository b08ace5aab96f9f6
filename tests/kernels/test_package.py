"""The Python package, its wheel and its source distribution, and what the build promises."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kernels.conftest import SOURCE, VARIANTS, Built
from kernels.graphs import first_rows_graph, layer_graph, open_session, run
from kernels.reference import make_first_rows, make_layer

pytestmark = pytest.mark.xdist_group("kernels")


def test_python_and_the_libraries_hold_the_same_version(built: Built) -> None:
    assert built.package.VARIANTS == VARIANTS
    for variant in VARIANTS:
        loaded = ctypes.CDLL(str(built.package.library(variant)))
        loaded.rerank_kernels_variant.restype = ctypes.c_char_p
        assert loaded.rerank_kernels_version() == built.package.KERNEL_VERSION
        assert loaded.rerank_kernels_variant() == variant.encode()


def test_compilers_agree_to_the_bit(
    built: Built, build_libraries: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score must not depend on who compiled the kernels: the cache is shared."""
    version = subprocess.run([*build_libraries.compiler(), "--version"], capture_output=True, text=True).stdout
    other = "g++" if "clang" in version else "clang++"
    if shutil.which(other) is None:
        pytest.skip(f"{other} is not installed")
    monkeypatch.setenv("CXX", other)
    best = next(one for one in build_libraries.VARIANTS if built.package.runs_here(one.name) is None)
    build_libraries.build(tmp_path, [best])
    x = np.random.default_rng(0).standard_normal((37, 128)).astype(np.float32)
    layer = layer_graph(make_layer(128, 2, 192, "gelu_tanh", "qd"))
    for model in (layer, first_rows_graph(make_first_rows(128, 2))):
        sessions = (open_session(model, path) for path in (built.library(best.name), tmp_path / best.file_name))
        one, two = (run(session, x, [37]) for session in sessions)
        assert np.array_equal(one, two)


def test_the_portable_variant_runs_everywhere(built: Built) -> None:
    assert built.package.runs_here("portable") is None


def test_unknown_variants_are_refused(built: Built) -> None:
    with pytest.raises(ValueError, match="no variant 'neon' of the kernels; there are avx512-bf16, avx512, avx2"):
        built.package.library("neon")


def test_packing_is_a_permutation_with_its_stated_order(built: Built) -> None:
    weight = make_layer(128, 2, 192).weight["up"]
    packed = built.package.pack(weight)
    assert packed.shape == (192 // 32, 128 // 64, 16, 128)
    # Each 64 rows by 32 columns: four neighbours in k lie together, then the columns, then the groups of four.
    blocks = weight.reshape(2, 16, 4, 6, 32).transpose(3, 0, 1, 4, 2)
    assert np.array_equal(packed, blocks.reshape(packed.shape))
    assert np.array_equal(built.package.pack(np.asfortranarray(weight)), packed)


@pytest.mark.parametrize("shape", [(32, 32), (64, 33), (0, 32), (64, 0), (65600, 32)])
def test_other_shapes_cant_be_packed(built: Built, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="can't be packed: K must be a multiple of 64, N of 32"):
        built.package.pack(np.zeros(shape, np.int8))


def test_only_int8_matrices_are_packed(built: Built) -> None:
    for weight in (np.zeros((64, 32), np.uint8), np.zeros(64, np.int8)):
        with pytest.raises(ValueError, match=r"weights to pack are int8 \[K, N\]"):
            built.package.pack(weight)


def test_the_wheel_fits_any_python(built: Built, build_libraries: ModuleType) -> None:
    tag = built.wheel.stem.split("-", 2)[2]
    libraries = [built.package.library(variant) for variant in VARIANTS]
    assert tag == f"py3-none-{build_libraries.platform_tag(libraries)}"


def test_the_sdist_has_all_sources(built: Built) -> None:
    """The wheel of these tests was built from it."""
    with tarfile.open(built.sdist) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    sources = [path.relative_to(SOURCE) for room in ("src", "tests") for path in (SOURCE / room).rglob("*.?pp")]
    assert len(sources) > 30
    assert not {*sources, Path("LICENSE"), Path("build_libraries.py")} - names


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_engine_shares_no_function(build_libraries: ModuleType, tmp_path: Path, variant: str) -> None:
    """A function of its instructions that another unit has too could be the one that the linker keeps for both."""
    (one,) = [known for known in build_libraries.VARIANTS if known.name == variant]
    made = tmp_path / "engine.o"
    flags = [*build_libraries.FLAGS, "-O0", *one.flags, "-Werror"]
    build_libraries.run([*build_libraries.compiler(), *flags, "-c", str(one.engine_unit), "-o", str(made)])
    listed = subprocess.run(["nm", "--defined-only", "--extern-only", made], capture_output=True, text=True, check=True)
    (symbol,) = listed.stdout.splitlines()
    assert one.engine in symbol
    assert all(not flags for path, flags in one.units().items() if path != one.engine_unit)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("platform.machine = lambda: 'aarch64'", "Linux on x86-64, and this is linux on aarch64"),
        ("sys.platform = 'darwin'", "and this is darwin on"),
        ("import os; os.environ['CXX'] = 'no-such-compiler -O9'", "no-such-compiler, is not on the PATH"),
        ("import os; os.environ.update(CXX='', PATH='')", "there is no C\\+\\+ compiler: set CXX, or install g\\+\\+"),
        ("build_libraries.FLAGS.append('-Werror=no-such-warning-at-all -x')", "no-such-warning-at-all"),
    ],
)
@pytest.mark.usefixtures("build_libraries")
def test_a_build_that_cant_be_says_why(tmp_path: Path, change: str, words: str) -> None:
    script = (
        f"import platform, sys, build_libraries; {change}; sys.argv = ['', {str(tmp_path)!r}]; build_libraries.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(words, done.stderr)
