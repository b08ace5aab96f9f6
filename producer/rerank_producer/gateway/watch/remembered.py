"""An answer that is remembered for a moment, so that however many ask, the server is asked once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """What `ask` answered, for `for_s` seconds. It is asked once at a time; what it raises is not remembered."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], for_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._for_s, self._clock = ask, for_s, clock
        self._turn = asyncio.Lock()
        self._answer: T
        self._until = -math.inf

    async def get(self) -> T:
        """Return the answer. Raises what `ask` raises."""
        async with self._turn:
            if self._clock() >= self._until:
                self._answer = await self._ask()
                self._until = self._clock() + self._for_s
            return self._answer
