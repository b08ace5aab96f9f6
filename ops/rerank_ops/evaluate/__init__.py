"""Evaluation: first stages, models and fused orders on a labelled set, held against each other, with their speed."""
