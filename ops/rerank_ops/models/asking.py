"""Asks worker processes over Celery's remote control, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import Celery

from rerank_shared.contract.model_commands import (
    LIST,
    LOAD,
    UNLOAD,
    ModelChange,
    ProcessModels,
    Verb,
    read_change,
    read_models,
)
from rerank_shared.errors import WireError
from rerank_worker.consume.remote_control import node_name, worker_id_of

_COMMANDS: dict[Verb, str] = {"load": LOAD, "unload": UNLOAD}
_OLDER = "it can't change its models while it runs: it is of an earlier release"
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks worker processes by their ids. Answers that have not come within `timeout_s` are missing."""

    app: Celery
    timeout_s: float = 2.0

    def models(self, workers: Collection[str]) -> dict[str, ProcessModels]:
        """Return what each process serves, without those that did not say."""
        return {worker: told for worker, told in self._ask(LIST, {}, workers, read_models).items() if told is not None}

    def change(self, verb: Verb, model: str, workers: Collection[str]) -> dict[str, ModelChange]:
        """Ask these processes to load or to unload a model, and return what each says at once."""
        older = ModelChange(verb, model, "failed", _OLDER)
        answers = self._ask(_COMMANDS[verb], {"model": model}, workers, read_change)
        return {worker: told or older for worker, told in answers.items()}

    def _ask(
        self, command: str, arguments: dict[str, Any], workers: Collection[str], read: Callable[[Any], Told]
    ) -> dict[str, Told | None]:
        """Return the answers by process; None where a process does not know the command."""
        replies = self.app.control.broadcast(
            command,
            arguments=arguments,
            destination=[node_name(worker) for worker in workers],
            reply=True,
            timeout=self.timeout_s,
            limit=len(workers),
        )
        told: dict[str, Told | None] = {}
        for node, answer in ((node, answer) for reply in replies or () for node, answer in reply.items()):
            told[worker_id_of(node)] = None
            with suppress(WireError):
                told[worker_id_of(node)] = read(answer)
        return told
