"""Prometheus metrics of the client: how its calls ended, how long they took, what the cache saved.

python examples/client_metrics.py
"""

from prometheus_client import generate_latest

from rerank_producer import RerankClient


def main() -> None:
    """Rerank what nobody has asked before, and again, and print some of what a scrape reads."""
    with RerankClient() as client:
        for _ in range(2):
            client.rerank("Which river flows through Paris?", ["The Seine flows through Paris."])
    # The client counts in prometheus_client's own registry: an app that has a /metrics page shows it there already.
    for line in generate_latest().decode().splitlines():
        if line.startswith(("rerank_requests_total", "rerank_cache_pairs_total", "rerank_request_seconds_count")):
            print(line)
    # Prints:
    # rerank_request_seconds_count{cache="cold",class="interactive",k="1-10"} 1.0
    # rerank_request_seconds_count{cache="hot",class="interactive",k="1-10"} 1.0
    # rerank_requests_total{class="interactive",outcome="complete"} 2.0
    # rerank_cache_pairs_total{result="hit"} 1.0
    # rerank_cache_pairs_total{result="miss"} 1.0


if __name__ == "__main__":
    main()
