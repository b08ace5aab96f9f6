"""Asks a part of the fleet for its health: `python -m rerank_ops.health http://127.0.0.1:8080/healthz`.

Exit status 0 if it answers 200, else 1 with the reason. It is for the health checks of containers, which repeat it for
ever in images without curl: it imports the standard library alone, and so takes a tenth of a command's time.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

_PATIENCE_S = 4.0


def main(arguments: list[str]) -> int:
    """Ask, print the answer, and return the exit status; 2 for wrong usage."""
    if len(arguments) != 1 or not arguments[0].startswith("http://"):
        print("usage: python -m rerank_ops.health http://HOST:PORT/healthz", file=sys.stderr)
        return 2
    # A proxy of the environment must not be asked for what is in this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(arguments[0], timeout=_PATIENCE_S) as answer:
            print(answer.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        print(f"{error.code}: {error.read().decode(errors='replace')}")
    except OSError as error:
        print(f"no answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
