"""The fork server's program: loads and warms the model once, then forks workers that share its memory.

The fork server is the workers' parent and reaps them; forkserver.py says how the supervisor hears of them. Connections,
threads and the Celery app are made after the fork. If the fork server is killed, its workers go on. When the supervisor
is gone, the fork server ends after its last worker. Workers are not children of the supervisor: that would take a raw
clone, unknown to libc, or a supervisor that inherits every orphan of the program around it.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
import time

import onnxruntime

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import load_settings
from rerank_worker.engine.providers import CUDA_PROVIDER
from rerank_worker.process import load, refuse, set_up_logging, work
from rerank_worker.supervisor.forkserver import EX_CANT_FORK, call_process, serve

log = logging.getLogger(__name__)


def main() -> int:
    """Serve until the supervisor has gone or wants no more; returns the exit status, in forked processes theirs."""
    started = time.perf_counter()
    call_process("rerank-forksrv")
    with socket.socket(fileno=int(sys.argv[1])) as commands:
        try:
            settings = load_settings()
            set_up_logging(settings)
            if settings.device != "cpu" and CUDA_PROVIDER in onnxruntime.get_available_providers():
                # Asking whether there is a GPU wakes it, and what is awake there survives no fork.
                log.warning("fork server can't fork with CUDA; where models run on the CPU, set RERANK_DEVICE=cpu")
                return EX_CANT_FORK
            gc.disable()
            model = load(settings)
        except ConfigurationError as error:
            return refuse(error)
        # A collection in a worker would write to every object, and so copy every page.
        gc.collect()
        gc.freeze()
        log.info("fork server ready seconds=%.2f", time.perf_counter() - started)
        is_worker = serve(commands)
    if not is_worker:
        return 0
    started = time.perf_counter()
    gc.enable()
    call_process("rerank-worker")
    return work(settings, model, started)


if __name__ == "__main__":
    sys.exit(main())
