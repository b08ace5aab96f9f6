"""`rerank-fleet gateway`: runs the HTTP gateway in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_ops.cli.extras import require_gateway
from rerank_ops.cli.options import RedisUrl, settings_from
from rerank_ops.effective import effective_line

Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Port = Annotated[int | None, typer.Option("--port", metavar="PORT", help="Port to listen on; 0: any free port.")]
GatewayProcesses = Annotated[
    int | None, typer.Option("--processes", "-p", metavar="N", min=1, help="Gateway processes behind the port.")
]
KeysFile = Annotated[
    str | None, typer.Option("--keys", metavar="FILE", help="File of API keys, written by `rerank-fleet keys create`.")
]


def gateway(
    host: Host = None,
    port: Port = None,
    processes: GatewayProcesses = None,
    keys: KeysFile = None,
    url: RedisUrl = None,
) -> None:
    """Run the HTTP gateway until Ctrl-C. It speaks the APIs of Cohere, Jina, Voyage, TEI and vLLM.

    The page at / has a playground and shows the fleet live. Without --keys, every client that reaches the port may use
    the fleet.
    """
    require_gateway()
    from rerank_producer.gateway.server import run, set_up_logging
    from rerank_producer.gateway.settings import load_gateway_settings

    fleet = settings_from(url)
    settings = load_gateway_settings(host=host, port=port, processes=processes, keys=keys)
    set_up_logging(fleet)
    print(f"settings {effective_line(fleet)} {effective_line(settings, 'gateway_')}", flush=True)
    raise typer.Exit(run(fleet, settings))
