"""The user's cache directory, in which files of ours can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return our directory in the user's cache (XDG_CACHE_HOME, or ~/.cache). It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rerank-fleet"
