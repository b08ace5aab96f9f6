"""First-stage scores: what BM25 knew counts in the order, beside what the model says.

python examples/first_stage_scores.py
"""

from rerank_producer import RerankClient

#: A part number is a word like any other to the model, and the one that matters to BM25.
QUERY = "pump PX-4410 loses pressure"
HITS = [
    {"id": "manual", "text": "PX-4410: check the shaft seal first, then the relief valve.", "score": 14.2},
    {"id": "other", "text": "If the pump PX-4401 loses pressure, replace its seal.", "score": 6.1},
    {"id": "general", "text": "Why a pump loses pressure, and what to do about it.", "score": 5.8},
]


def main() -> None:
    """Rank by the model alone, then by both stages."""
    with RerankClient() as client:
        alone = client.rerank(QUERY, HITS)
        # In production leave fusion_ratio out: it is learned. Given, it makes an answer that can be reproduced.
        fused = client.rerank(QUERY, HITS, fusion="weighted", fusion_ratio=1.5, first_stage="bm25")
        print("model alone:", [result.id for result in alone.results])
        print("both stages:", [result.id for result in fused.results])
        best = fused.results[0]
        print("sent:", best.first_stage_score, "above the model's logit:", (best.fused_score or 0) > (best.logit or 0))
    # Prints:
    # model alone: ['other', 'manual', 'general']
    # both stages: ['manual', 'other', 'general']
    # sent: 14.2 above the model's logit: True


if __name__ == "__main__":
    main()
