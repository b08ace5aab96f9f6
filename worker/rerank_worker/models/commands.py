"""Commands of Celery's remote control: tell, load and unload the models of a process.

They run in the consumer's thread, so none of them waits.
"""

from __future__ import annotations

from typing import Any

from celery.worker.control import Panel

from rerank_shared.contract.model_commands import LIST, LOAD, UNLOAD, plain
from rerank_worker.models.keeper import ModelKeeper


def answer_commands(keeper: ModelKeeper) -> None:
    """Answer these commands in this process by `keeper`."""

    def models(state: Any, **_: Any) -> dict[str, Any]:
        return plain(keeper.report())

    def load_model(state: Any, model: str = "", **_: Any) -> dict[str, Any]:
        return plain(keeper.load(model, state.consumer))

    def unload_model(state: Any, model: str = "", **_: Any) -> dict[str, Any]:
        return plain(keeper.unload(model, state.consumer))

    for name, command in {LIST: models, LOAD: load_model, UNLOAD: unload_model}.items():
        Panel.register(name=name)(command)
