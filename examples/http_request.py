"""A request over HTTP in the shape of Cohere's API, with the standard library alone; any language does the same.

rerank-fleet gateway
python examples/http_request.py http://localhost:8080
"""

import json
import sys
import urllib.request

BODY = {
    "query": "How many people live in Berlin?",
    "documents": ["The Berlin Wall fell in 1989.", "Berlin has 3,520,031 registered inhabitants."],
    "top_n": 1,
}


def main() -> None:
    """Send one request to the gateway, and let it take three seconds."""
    gateway = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
    headers = {"Content-Type": "application/json", "X-Rerank-Deadline-Ms": "3000"}
    request = urllib.request.Request(f"{gateway}/v2/rerank", json.dumps(BODY).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        best = json.load(answer)["results"][0]
        print(best["index"], f"{best['relevance_score']:.2f}")
        print("complete:", answer.headers["X-Rerank-Complete"])
    # Prints:
    # 1 1.00
    # complete: true


if __name__ == "__main__":
    main()
