"""The installed library: what is wrong with it is a reason against its kernels, not the end of a worker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from rerank_worker.engine.kernels import library


def install(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    package = SimpleNamespace(
        **{
            "KERNEL_VERSION": 1,
            "VARIANTS": ("avx2", "portable"),
            "library": lambda variant: Path(f"/lib/{variant}.so"),
            "runs_here": lambda variant: None if variant == "portable" else "lacks AVX2",
            **functions,
        }
    )
    monkeypatch.setattr(library, "_package", lambda: package)


def test_each_kernel_that_does_not_run_here_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    found = library.installed()
    assert found is not None
    assert [kernel.variant for kernel in found.kernels] == ["avx2", "portable"]
    assert found.unfit == {"avx2": "lacks AVX2"}


def test_a_library_of_another_machine_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_here(variant: str) -> NoReturn:
        raise OSError("wrong ELF class")

    install(monkeypatch, runs_here=runs_here)
    found = library.installed()
    assert found is not None
    assert found.unfit == dict.fromkeys(("avx2", "portable"), "its library can't be loaded: wrong ELF class")


def test_a_package_that_was_never_built_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(variant: str) -> NoReturn:
        raise FileNotFoundError(variant)

    install(monkeypatch, library=missing)
    assert library.installed() is None
