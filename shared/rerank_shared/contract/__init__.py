"""What producers and workers agree on: schemas, messages, their bytes, and the digest of a pair."""
