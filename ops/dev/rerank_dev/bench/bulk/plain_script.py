"""The peer: what a scientist writes first, with the semantics of vLLM's run-batch. Nothing of ours is in it.

python plain_script.py MODEL_DIR INPUT OUTPUT

It reads all requests, scores each with sentence-transformers' CrossEncoder as it comes, gathers the answers and writes
them when the last is there. A rerun begins with the first request. torch takes all cores, as it does by itself.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module


def main() -> None:
    """Score, and print pairs and seconds as JSON; the seconds count from when the model is loaded."""
    directory, source, output = sys.argv[1:]
    model = import_module("sentence_transformers").CrossEncoder(directory, device="cpu")
    print("ready", flush=True)
    started = time.perf_counter()
    with open(source, encoding="utf-8") as file:
        requests = [json.loads(line) for line in file]
    answers, pairs = [], 0
    for request in requests:
        scores = model.predict(
            [(request["query"], document) for document in request["documents"]], show_progress_bar=False
        )
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        answers.append({"results": [{"index": index, "relevance_score": float(scores[index])} for index in order]})
        pairs += len(scores)
    with open(output, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(answer) + "\n" for answer in answers)
    print(json.dumps({"pairs": pairs, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
