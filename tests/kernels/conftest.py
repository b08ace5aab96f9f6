"""The kernels, built once from their source distribution as a user would, and loaded from the wheel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[2] / "worker" / "kernels"
VARIANTS = ("avx512-bf16", "avx512", "avx2", "portable")


def load(name: str, path: Path) -> ModuleType:
    """Load a module from a file, under a name that hides no installed one."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Built:
    """The package in its wheel, unpacked, and what it was made from."""

    package: ModuleType
    wheel: Path
    sdist: Path
    source: Path

    def library(self, variant: str) -> Path:
        """Return a variant's library; skips the test where this CPU does not run it."""
        if reason := self.package.runs_here(variant):
            pytest.skip(reason)
        path: Path = self.package.library(variant)
        return path


@pytest.fixture(scope="session")
def build_libraries() -> ModuleType:
    """The build step's module; skips where there is no compiler, or no machine for the kernels."""
    module = load("build_libraries_under_test", SOURCE / "build_libraries.py")
    try:
        module.check_machine()
        module.compiler()
    except module.BuildError as error:
        pytest.skip(str(error))
    return module


@pytest.fixture(scope="session")
def built(build_libraries: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("kernels")
    # A build writes beside the sources.
    tree = folder / "tree"
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so"))
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(folder)], cwd=tree, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.glob("rerank_fleet_kernels-*") if path.is_dir())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    done = subprocess.run([*command, "--wheel-dir", str(folder), str(unpacked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    package = load("rerank_kernels_under_test", folder / "site" / "rerank_kernels" / "__init__.py")
    return Built(package, wheel, sdist, unpacked)


@pytest.fixture(params=VARIANTS)
def library(built: Built, request: pytest.FixtureRequest) -> Path:
    """The library of each variant that this CPU runs."""
    return built.library(request.param)


@contextmanager
def refused(words: str) -> Iterator[None]:
    """Expect ONNX Runtime to fail with these words."""
    with pytest.raises(Exception, match=words) as caught:
        yield
    assert "onnxruntime" in type(caught.value).__module__
