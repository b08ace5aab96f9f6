"""API keys: their file, the keyring that checks them, the limits of a request, and token buckets."""
