"""The fleet as a node postprocessor of LlamaIndex; a query engine takes it in `node_postprocessors`.

pip install '.[llama-index]'
python examples/llama_index_postprocessor.py
"""

from llama_index.core.schema import NodeWithScore, TextNode

from rerank_producer.integrations.llama_index import FleetRerank

FOUND = [
    NodeWithScore(node=TextNode(text="Berlin is worth a visit."), score=0.71),
    NodeWithScore(node=TextNode(text="Berlin has 3,520,031 registered inhabitants."), score=0.64),
]


def main() -> None:
    """Rerank two nodes and keep the better one, with the score that the first stage gave it."""
    postprocessor = FleetRerank(top_n=1, deadline_ms=30_000, fallback=True)
    for node in postprocessor.postprocess_nodes(FOUND, query_str="How many people live in Berlin?"):
        print(f"{node.score:.1f}", node.metadata["retrieval_score"], node.text)
    postprocessor.close()
    # Prints:
    # 1.0 0.64 Berlin has 3,520,031 registered inhabitants.


if __name__ == "__main__":
    main()
