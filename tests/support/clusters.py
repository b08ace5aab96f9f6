"""Servers in cluster mode, which the queue can't live on."""

from __future__ import annotations

from pathlib import Path

from rerank_dev.ports import free_port
from rerank_ops.local.redis_binary import ServerBinary


def cluster_binary(real: ServerBinary, directory: Path) -> ServerBinary:
    """Return a program, made in `directory`, that starts the real server in cluster mode.

    The members' port is named: the default, 10,000 above the server's own, may not exist or be taken.
    """
    wrapper = directory / real.path.name
    wrapper.write_text(
        f'#!/bin/sh\nexec {real.path} --cluster-enabled yes --cluster-port {free_port()} "$@"\n', encoding="utf-8"
    )
    wrapper.chmod(0o700)
    return ServerBinary(wrapper, real.version, "PATH")
