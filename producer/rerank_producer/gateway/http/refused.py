"""Why the gateway stopped before it asked the fleet: a request it will not take, or a caller that went away."""

from __future__ import annotations

from rerank_producer.gateway.apis.ask import Problem


class Refused(Exception):
    """A request ends here, with `problem` as its answer. Never carries a byte of the body, nor a key."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.message}")
        self.problem = problem


class ClientGone(Exception):
    """The client hung up before its answer; nobody is left to tell."""
