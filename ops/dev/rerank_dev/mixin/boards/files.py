"""The dashboards as files."""

from __future__ import annotations

import json

from rerank_dev.mixin.boards.fleet import FLEET
from rerank_dev.mixin.boards.workers import WORKERS

DASHBOARDS = {"fleet.json": FLEET, "workers.json": WORKERS}


def board_files() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {name: json.dumps(board.as_json(), indent=2) + "\n" for name, board in DASHBOARDS.items()}
