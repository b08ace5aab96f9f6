"""The fleet as a document compressor of LangChain, which falls back to first-stage order where the fleet is away.

pip install '.[langchain]'
python examples/langchain_compressor.py
"""

from langchain_core.documents import Document

from rerank_producer.integrations.langchain import FleetRerank

FOUND = [
    Document(page_content="Berlin is worth a visit.", metadata={"page": 1}),
    Document(page_content="Berlin has 3,520,031 registered inhabitants.", metadata={"page": 2}),
]


def main() -> None:
    """Compress two documents to the best one; ContextualCompressionRetriever(base_compressor=...) does so too."""
    compressor = FleetRerank(top_n=1, deadline_ms=30_000, fallback=True)
    for document in compressor.compress_documents(FOUND, "How many people live in Berlin?"):
        print("page", document.metadata["page"], f"{document.metadata['relevance_score']:.1f}")
    compressor.close()
    # Prints:
    # page 2 1.0


if __name__ == "__main__":
    main()
