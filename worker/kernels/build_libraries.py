"""Compiles the libraries of the kernels: one for each instruction set, with any C++17 compiler.

python build_libraries.py OUT        compile all into the directory OUT
python build_libraries.py --compiler say which compiler would be used; exit status 1 where there is none
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"

# The same bits from each compiler: no multiplication and addition are joined but those that the code joins.
FLAGS = [
    "-std=c++17", "-O2", "-fPIC", "-Wall", "-Wextra", "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions",
    "-fno-rtti", "-fvisibility=hidden", f"-I{SOURCES}",
]  # fmt: skip
LINK_FLAGS = ["-shared", "-static-libgcc", "-Wl,--as-needed", "-Wl,-z,defs", "-Wl,-s"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma"]
#: gcc 12 calls what its own header leaves undefined on purpose uninitialised. clang knows only one of both options.
AVX512_WARNINGS = ["-Wno-unknown-warning-option", "-Wno-uninitialized", "-Wno-maybe-uninitialized"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One library: its name, its engine's translation unit and table, and the flags of that unit alone."""

    name: str
    source: str
    engine: str
    flags: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        return f"rerank_kernels_{self.source}.so"

    def units(self) -> dict[Path, tuple[str, ...]]:
        """Return the translation units of the library and the flags of each: only the engine's has instructions."""
        units: dict[Path, tuple[str, ...]] = dict.fromkeys(sorted(SOURCES.glob("ops/*.cpp")), ())
        return {**units, self.engine_unit: self.flags}

    @property
    def engine_unit(self) -> Path:
        return SOURCES / "variants" / f"{self.source}.cpp"


VARIANTS = (
    Variant("avx512-bf16", "avx512_bf16", "avx512_bf16_engine", (*AVX512, "-mavx512bf16", *AVX512_WARNINGS)),
    Variant("avx512", "avx512", "avx512_engine", (*AVX512, *AVX512_WARNINGS)),
    Variant("avx2", "avx2", "avx2_engine", ("-mavx2", "-mfma")),
    Variant("portable", "portable", "portable_engine"),
)


class BuildError(Exception):
    """The libraries can't be built here; the message says why."""


def compiler() -> list[str]:
    """Return the command of the compiler: CXX, else c++, g++ or clang++; BuildError where there is none."""
    if chosen := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(chosen[0]) is None:
            raise BuildError(f"the compiler that CXX names, {chosen[0]}, is not on the PATH")
        return chosen
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return [path]
    raise BuildError("there is no C++ compiler: set CXX, or install g++ or clang++")


def check_machine() -> None:
    """Raise BuildError where the kernels can't run."""
    machine = platform.machine().lower()
    if sys.platform != "linux" or machine not in ("x86_64", "amd64"):
        raise BuildError(
            f"the kernels are written for Linux on x86-64, and this is {sys.platform} on {machine}; "
            "rerank-fleet runs without them"
        )


def run(command: Sequence[str]) -> None:
    """Run a compiler; BuildError with what it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def build(out: Path, variants: Sequence[Variant] = VARIANTS) -> None:
    """Compile the libraries of variants into `out`."""
    check_machine()
    cxx = compiler()
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects: dict[str, list[str]] = {}
        jobs = []
        for variant in variants:
            for path, flags in variant.units().items():
                made = str(Path(work) / f"{variant.source}-{path.stem}.o")
                objects.setdefault(variant.name, []).append(made)
                define = f"-DRERANK_ENGINE={variant.engine}"
                jobs.append(pool.submit(run, [*cxx, *FLAGS, define, *flags, "-c", str(path), "-o", made]))
        for job in jobs:
            job.result()
        for variant in variants:
            run([*cxx, *LINK_FLAGS, *objects[variant.name], "-lm", "-o", str(out / variant.file_name)])


def platform_tag(libraries: Sequence[Path]) -> str:
    """Return the wheel's platform tag: manylinux of the C library that the symbols ask for, or plain linux.

    Only the C library and its mathematics may be needed, and some symbol must have a version of glibc.
    """
    content = b"".join(path.read_bytes() for path in libraries)
    needed = set(re.findall(rb"\0(lib[\w+-]+\.so[.\d]*)(?=\0)", content))
    versions = [int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", content)]
    if not versions or needed - {b"libc.so.6", b"libm.so.6"} or b"GLIBCXX_" in content:
        return "linux_x86_64"
    return f"manylinux_2_{max(17, *versions)}_x86_64"


def main() -> None:
    """Run one of the commands above."""
    try:
        if sys.argv[1:] == ["--compiler"]:
            check_machine()
            print(shlex.join(compiler()))
        elif len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
            build(Path(sys.argv[1]))
        else:
            sys.exit(__doc__)
    except BuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
