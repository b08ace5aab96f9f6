"""Runs of a first stage, with the texts of their queries and documents in files of their own."""
