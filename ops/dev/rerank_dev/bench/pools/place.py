"""What all parts share: a server, two models, questions, a directory for logs, and how much is to be done."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_dev.bench.pools.scale import Scale
from rerank_dev.bench.scheduling.load import Query, Questions
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.model_names import name_of
from rerank_shared.models.manifest import read_manifest
from rerank_shared.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Place:
    """`small` and `big` are sources of models, as settings name them. `base` is a git revision, None for the default.

    `work` is for the run; `kept` is for what later runs find again. `data` are collections in the layout of BEIR.
    """

    server: EmbeddedServer
    big: str
    small: str
    scale: Scale
    work: Path
    kept: Path
    base: str | None
    data: tuple[Path, ...]
    questions: Questions

    def settings(self, namespace: str, **changes: Any) -> Settings:
        """Return settings of a fleet of its own on the server."""
        # Several supervisors share these cores, and each would pin its processes to the first of them.
        # A model of few layers is refused by the quality gate, and has a speed all the same.
        fixed = {"pin": False, "unsafe": True}
        return load_settings(redis_url=self.server.url, namespace=f"bench-{namespace}", **(fixed | changes))

    def queries(self, mark: str, count: int, k: int) -> list[Query]:
        """Return questions with `k` candidates, which no cache has seen; the same mark gives the same ones."""
        chance = random.Random(mark)
        return [self.questions.pick(chance, k, f"{mark} {number}") for number in range(count)]


def told(source: str) -> str:
    """Return a short name of a model for figures: of its manifest, else of its source, without the organisation."""
    name = read_manifest(Path(source.removeprefix("file:"))).model if source.startswith("file:") else name_of(source)
    return name.rpartition("/")[-1]
