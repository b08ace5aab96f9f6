"""A client that was used before a fork works on both sides of it, with connections of its own on each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from producer.conftest import Echo
from rerank_producer._io.per_process import PerProcess
from rerank_shared.settings import to_environ

pytestmark = pytest.mark.integration

# In a program of its own: a fork of the test process would copy its threads' locks and its open files.
PROGRAM = """
import os, sys
from rerank_producer import RerankClient
client = RerankClient()

def ask(who):
    for number in range(20):
        query = f"{who} {number}"
        response = client.rerank(query, [f"{who} one {number}", f"{who} two {number}"])
        assert response.complete, response
        client.cancel("nobody's")
    handle = client.submit(who, [who])
    assert client.collect(handle).complete
    return client._port.get().reply_to

before = ask("before")
child = os.fork()
if child == 0:
    assert ask("child") != before
    client.close()
    os._exit(0)
assert ask("parent") == before
_, status = os.waitpid(child, 0)
assert ask("after") == before
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_parent_and_child_each_get_their_own_answers(echo: Echo) -> None:
    # From 3.12 on Python warns of any fork beside threads, which is the case to be tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM]
    run = subprocess.run(command, env=os.environ | to_environ(echo.settings), capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_value_is_made_once_in_a_process_and_again_after_it_was_taken() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    values = PerProcess(make)
    assert values.take() is None
    assert values.get() is values.get() is made[0]
    assert values.take() is made[0]
    assert values.get() is made[1]
