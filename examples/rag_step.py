"""A step of a RAG pipeline under a latency budget: rerank in what is left of it, and go on with whatever came.

python examples/rag_step.py
"""

import asyncio
import time

from rerank_producer import AsyncRerankClient, RerankError

BUDGET_S = 2.0
#: What the model needs for its own part.
GENERATION_S = 1.0
QUESTION = "How many people live in Berlin?"
PASSAGES = [
    "The Berlin Wall fell in 1989.",
    "Berlin has 3,520,031 registered inhabitants.",
    "Bread is baked from flour and water.",
]


async def best_passages(client: AsyncRerankClient, question: str, found: list[str], left_s: float) -> list[str]:
    """Return the two best passages, those of the first stage where the fleet can't say in time; never raises."""
    try:
        response = await client.rerank(question, found, top_n=2, deadline_ms=1000 * left_s)
    except RerankError as error:
        # Overloaded, Redis away, ...: an order that is not the best beats no answer.
        print("first-stage order, since:", error.code)
        return found[:2]
    # At the deadline `complete` is false: scored passages first, then the others as the first stage had them.
    print("complete:", response.complete)
    return [found[result.index] for result in response.results]


async def main() -> None:
    """Answer one question: retrieve, rerank, write the prompt."""
    started = time.monotonic()
    async with AsyncRerankClient() as client:
        left_s = BUDGET_S - GENERATION_S - (time.monotonic() - started)
        context = await best_passages(client, QUESTION, PASSAGES, left_s)
    print("prompt:", " | ".join(context))
    # Prints:
    # complete: True
    # prompt: Berlin has 3,520,031 registered inhabitants. | The Berlin Wall fell in 1989.


if __name__ == "__main__":
    asyncio.run(main())
