"""Fork server program: loads and warms the models once, then forks workers that share its memory.

The fork server is the workers' parent and reaps them; forkserver.py describes its messages to the supervisor.
Connections, threads and the Celery app are made after the fork. If the fork server is killed, its workers go on. When
the supervisor is gone, the fork server ends after its last worker. Workers are not children of the supervisor: that
would need a raw clone, unknown to libc, or a supervisor that inherits every orphan of the program around it.
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
from rerank_worker.loading import load_all
from rerank_worker.process import refuse, set_up_logging, work
from rerank_worker.supervisor.forkserver import EX_CANT_FORK, call_process, serve

log = logging.getLogger(__name__)


def main() -> int:
    """Serve until the supervisor closes the socket, and return the exit status; in a forked process, the worker's."""
    started = time.perf_counter()
    call_process("rerank-forksrv")
    with socket.socket(fileno=int(sys.argv[1])) as commands:
        try:
            settings = load_settings()
            set_up_logging(settings)
            if settings.device != "cpu" and CUDA_PROVIDER in onnxruntime.get_available_providers():
                # A check for a GPU initialises CUDA, and CUDA does not survive a fork.
                log.warning("fork server can't fork with CUDA: if the model runs on the CPU, set RERANK_DEVICE=cpu")
                return EX_CANT_FORK
            gc.disable()
            models = load_all(settings)
        except ConfigurationError as error:
            return refuse(error)
        # A garbage collection in a worker would write to every object, and so copy every shared page.
        gc.collect()
        gc.freeze()
        log.info("fork server ready seconds=%.2f", time.perf_counter() - started)
        is_worker = serve(commands)
    if not is_worker:
        return 0
    started = time.perf_counter()
    gc.enable()
    call_process("rerank-worker")
    return work(settings, models, started)


if __name__ == "__main__":
    sys.exit(main())
