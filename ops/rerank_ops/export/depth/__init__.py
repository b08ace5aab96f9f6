"""Depth: keeps the first layers of a model, and fits a head on them that follows the whole model's logits."""
