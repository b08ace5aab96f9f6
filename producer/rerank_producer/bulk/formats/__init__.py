"""Formats of bulk runs, one a file: how rows are read, and how their answers are written."""
