"""The fleet as a ranker in a pipeline of Haystack.

pip install '.[haystack]'
python examples/haystack_ranker.py
"""

from haystack import Document, Pipeline

from rerank_producer.integrations.haystack import FleetRanker

FOUND = [
    Document(content="It is worth a visit.", meta={"title": "Berlin"}),
    Document(content="It has 3,520,031 registered inhabitants.", meta={"title": "Berlin"}),
]


def main() -> None:
    """Rerank two documents; what is scored is the title and the content."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", FleetRanker(top_k=1, deadline_ms=30_000, meta_fields_to_embed=["title"]))
    answer = pipeline.run({"ranker": {"query": "How many people live in Berlin?", "documents": FOUND}})
    for document in answer["ranker"]["documents"]:
        print(f"{document.score:.1f}", document.content)
    pipeline.get_component("ranker").close()
    # Prints:
    # 1.0 It has 3,520,031 registered inhabitants.


if __name__ == "__main__":
    main()
