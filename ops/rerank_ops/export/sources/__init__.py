"""Reads a published model: where it lies, its family, its weights and its tokenizer."""
