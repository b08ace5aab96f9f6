"""Shadows: requests that were answered are scored once more by another model, behind their callers, and compared."""
