"""The quality gate: what an exported model keeps of the ranking of fp32 with the same weights, measured and judged.

It scores; what it needs is any two functions from (query, document) pairs to logits.
"""
