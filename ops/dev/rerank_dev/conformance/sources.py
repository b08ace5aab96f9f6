"""The tests of an installed package, out of its source distribution; the wheel leaves them out."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

from rerank_shared.errors import ConfigurationError

#: What is unpacked: the tests and how they are to be run. Not the package, which must be the installed one.
_WANTED = ("t/", "setup.cfg", "pyproject.toml")


def fetch_tests(package: str, directory: Path) -> Path:
    """Return the folder that holds `t/` of the installed version; fetched once, by pip, into `directory`.

    Raises ConfigurationError when pip can't fetch it.
    """
    name = f"{package}-{version(package)}"
    root = directory / name
    if not (root / "t").is_dir():
        _unpack(_download(name, package, directory), name, directory)
    return root


def _download(name: str, package: str, directory: Path) -> Path:
    archive = directory / f"{name}.tar.gz"
    if not archive.is_file():
        print(f"fetching the source of {name}", flush=True)
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--dest",
            str(directory),
        ]
        command = [sys.executable, "-m", "pip", "download", *options, f"{package}=={version(package)}"]
        if subprocess.run(command, check=False).returncode:
            raise ConfigurationError(f"pip can't fetch the source of {name}: put {archive.name} into {directory}")
    return archive


def _unpack(archive: Path, name: str, directory: Path) -> None:
    with tarfile.open(archive) as source:
        wanted = tuple(f"{name}/{path}" for path in _WANTED)
        members = [member for member in source.getmembers() if member.name.startswith(wanted)]
        source.extractall(directory, members, filter="data")
