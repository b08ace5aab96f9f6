"""Odd text: empty, NUL, a lone surrogate, any script, a megabyte; each has a score, and `truncated` says what was cut.

python examples/failures/odd_text.py
"""

from rerank_producer import RerankClient

DOCUMENTS = {
    "empty": "",
    "NUL": "a\0b",
    "lone surrogate": "a \ud800 b",
    "Devanagari": "नमस्ते दुनिया",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈",
    "a megabyte": "word " * 200_000,
}


def main() -> None:
    """Score documents that other services refuse."""
    with RerankClient() as client:
        response = client.rerank("hello world", list(DOCUMENTS.values()), deadline_ms=60_000, partial=False)
    for result in sorted(response.results, key=lambda each: each.index):
        print(f"{list(DOCUMENTS)[result.index]}: scored {result.scored}, truncated {result.truncated}")
    # Prints:
    # empty: scored True, truncated False
    # NUL: scored True, truncated False
    # lone surrogate: scored True, truncated False
    # Devanagari: scored True, truncated False
    # emoji: scored True, truncated False
    # a megabyte: scored True, truncated True


if __name__ == "__main__":
    main()
