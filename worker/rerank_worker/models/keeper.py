"""Model keeper: loads and unloads models of a process beside its work, one at a time, on a thread of their own.

A model is loaded and warm before anything else of the process changes. Then its lane joins between two batches, its
queues are consumed, and the heartbeat announces its pool. A model that is unloaded goes the other way: it is announced
no longer, its queues are left, its batch ends, its other jobs go back to the queue, and its session is freed.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rerank_shared.contract.digest import identity_digest
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.model_commands import LoadedModel, ModelChange, ProcessModels, Verb
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import HEARTBEAT_TTL_S, JOB_CLASSES
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_shared.scheduling.fairness import ClassShare
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import entry_of
from rerank_worker.announced import AnnouncedModel, announced_models
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.served import ServedModel, ServedModels
from rerank_worker.consume.strays import Strays
from rerank_worker.heartbeat import Heartbeats
from rerank_worker.loading import Model, load, refuse_beyond_memory
from rerank_worker.model_memory import room_for_models
from rerank_worker.models.serving import served_model
from rerank_worker.models.subscriptions import change_queues

log = logging.getLogger(__name__)
_STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class ModelKeeper:
    """Changes the models of one process. Its methods are called from the consumer's thread alone.

    `share` is the share of bulk, which all lanes have in common. The `consumer` of a change is Celery's.
    """

    served: ServedModels
    scoring: ScoringThread
    heartbeats: Heartbeats
    strays: Strays
    settings: Settings
    share: ClassShare
    #: Waited for at most so long until a heartbeat tells a change. Without a server the last one runs out by then.
    patience_s: float = HEARTBEAT_TTL_S
    _last: ModelChange | None = field(default=None, init=False)

    def report(self) -> ProcessModels:
        """Return the models of this process, its memory, and the last change."""
        models = tuple(self._loaded(model) for model in self.served)
        room = room_for_models(self.settings.model_memory_mb, self._used_bytes)
        if room is None:
            return ProcessModels(models, _resident_bytes(), change=self._last)
        return ProcessModels(
            models, _resident_bytes(), room.budget_bytes, room.free_bytes, room.origin, change=self._last
        )

    def load(self, model: str, consumer: Any) -> ModelChange:
        """Begin to load a model, by its name or source. One that is served already is done."""
        name = name_of(model)
        if name in self.served.names:
            return self._served_already(model, self.served.named(name))
        return self._begin("load", model, partial(self._load, model, consumer))

    def unload(self, model: str, consumer: Any) -> ModelChange:
        """Begin to unload a model, by any of its names."""
        name = name_of(model)
        if name not in self.served.names:
            return ModelChange("unload", model, "absent", f"it serves {', '.join(sorted(self.served.names))}")
        if len(self.served) == 1:
            told = "it is the only model of this process: load another one first, or stop the process"
            return ModelChange("unload", model, "failed", told)
        return self._begin("unload", model, partial(self._unload, name, consumer))

    def _served_already(self, model: str, found: ServedModel) -> ModelChange:
        """Return the answer to a load of a model whose name is served: fleet.toml may mean another one by it now."""
        try:
            source = entry_of(model, self.settings).source
        except ConfigurationError as error:
            return ModelChange("load", model, "failed", error.message)
        if source not in (model, found.source):
            told = (
                f"{model} is served from {found.source}, and the file has {source} now: unload it, or use another name"
            )
            return ModelChange("load", model, "failed", told)
        return ModelChange("load", model, "done", f"{self.served.called(found)} is served already")

    def _begin(self, verb: Verb, model: str, work: Callable[[], str]) -> ModelChange:
        change, last = ModelChange(verb, model, "begun"), self._last
        if self.scoring.draining:
            return replace(change, state="failed", told="this process is stopping")
        if last is not None and last.state == "begun":
            told = f"this process is still at `{last.verb} {last.model}`: repeat it later"
            return last if last == change else replace(change, state="failed", told=told)
        self._last = change
        # Not a daemon: an end of the process inside ONNX Runtime's code could crash it.
        threading.Thread(target=self._run, args=(change, work), name=f"{verb}-model").start()
        return change

    def _run(self, change: ModelChange, work: Callable[[], str]) -> None:
        try:
            self._last = replace(change, state="done", told=work())
            log.info("model %sed model=%s", change.verb, change.model)
        except ConfigurationError as error:
            log.warning("model not %sed model=%s: %s", change.verb, change.model, error.message)
            self._last = replace(change, state="failed", told=error.message)
        except Exception as error:
            # onnxruntime's exceptions share no base class below Exception, and memory may run out anywhere.
            log.exception("model not %sed model=%s", change.verb, change.model)
            self._last = replace(change, state="failed", told=f"{type(error).__name__}: {error}")

    def _load(self, name: str, consumer: Any) -> str:
        started = time.perf_counter()
        settings = self.settings.model_copy(update={"model": name, "models": None, "model_digest": None})
        model = load(
            settings,
            [each.scorer for each in self.served],
            lambda files: refuse_beyond_memory(files, settings, self._used_bytes),
        )
        if (twin := self._twin(model)) is not None:
            return f"it is {self.served.called(twin)}, which is served already"
        if self.scoring.draining:
            raise ConfigurationError("this process is stopping")
        added = served_model(model, settings, self.share)
        announced = self._announced(ServedModels([*self.served, added]))
        self._adopt_cost(announced[-1])
        self.scoring.add_lane(added.lane)
        self.served.add(added)
        change_queues(consumer, self._goes_on, begin=self._queues(added))
        self.heartbeats.change(announced)
        self.heartbeats.wait_told(self.patience_s)
        seconds = time.perf_counter() - started
        return f"{self.served.called(added)}, {added.weights_bytes / 1e6:,.0f} MB, in {seconds:.1f} s"

    def _unload(self, name: str, consumer: Any) -> str:
        model = self.served.named(name)
        told, pool = self.served.called(model), model.pool
        self.heartbeats.change(self._announced(ServedModels([each for each in self.served if each is not model])))
        self.heartbeats.wait_told(self.patience_s)
        change_queues(consumer, self._goes_on, end=self._queues(model))
        self.served.remove(model)
        self.scoring.remove_lane(model.lane)
        self.strays.leave_pools(self.strays.client, [pool])
        freed = model.weights_bytes
        # The last reference to the session, unless a thread is giving a job of this model back.
        del model
        gc.collect()
        return f"{told}, {freed / 1e6:,.0f} MB"

    def _goes_on(self) -> bool:
        return not self.scoring.draining

    def _announced(self, served: ServedModels) -> tuple[AnnouncedModel, ...]:
        return announced_models(served, self.heartbeats.heartbeat.host, self.heartbeats.models)

    def _adopt_cost(self, model: AnnouncedModel) -> None:
        try:
            self.heartbeats.adopt([model])
        except OUTAGES_AND_REFUSALS as error:
            log.warning("run cost not read: redis %s", outage_of(error).says)

    def _twin(self, model: Model) -> ServedModel | None:
        digest = identity_digest(model.identity)
        return next((each for each in self.served if identity_digest(each.identity) == digest), None)

    def _queues(self, model: ServedModel) -> list[str]:
        return [self.heartbeats.keys.of(model.pool).queue(job_class) for job_class in JOB_CLASSES]

    @property
    def _used_bytes(self) -> int:
        return sum(model.weights_bytes for model in self.served)

    def _loaded(self, model: ServedModel) -> LoadedModel:
        first = self.served.called(model)
        others = sorted(self.served.names_of(model) - {first})
        identity = model.identity
        return LoadedModel(
            (first, *others),
            model.pool,
            identity.precision,
            identity.max_length,
            model.weights_bytes,
            model.lane.batcher.weight,
        )


def _resident_bytes() -> int | None:
    """Return the memory of this process that is in use now, shared memory too; None where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
