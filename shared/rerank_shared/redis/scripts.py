"""Lua scripts. Each is one atomic step: a killed process has run it as a whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

_LUA = resources.files("rerank_shared").joinpath("lua")


class Script:
    """A script, sent as text by its first call and called by its hash afterwards."""

    def __init__(self, *files: str) -> None:
        lines = [line for name in files for line in _LUA.joinpath(name).read_text().splitlines()]
        #: Without comments, since a pipeline sends the whole text each time.
        self.text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        # The first call sends the text: a hash that the server does not know would cost one more round trip at the
        # start.
        self._told = False

    def __call__(self, client: Any, keys: Sequence[str | bytes], *args: Any) -> Any:
        """Run the script."""
        if self._told:
            try:
                return client.evalsha(self.sha, len(keys), *keys, *args)
            except NoScriptError:
                pass
        answer = client.eval(self.text, len(keys), *keys, *args)
        self._told = True
        return answer

    async def on(self, client: Any, keys: list[Any], *args: Any) -> Any:
        """Run the script on an asyncio client."""
        if self._told:
            try:
                return await client.evalsha(self.sha, len(keys), *keys, *args)
            except NoScriptError:
                pass
        answer = await client.eval(self.text, len(keys), *keys, *args)
        self._told = True
        return answer

    def queue_on(self, pipe: Any, keys: Sequence[str | bytes], *args: Any) -> Any:
        """Queue the script on a pipeline, which can't ask whether the server knows it: the text goes along."""
        return pipe.eval(self.text, len(keys), *keys, *args)
