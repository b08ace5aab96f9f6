"""Quality gate: measures how well an exported model keeps the ranking of fp32 with the same weights, and judges it.

Its inputs are two functions from (query, document) pairs to logits: the export's and the reference's.
"""
