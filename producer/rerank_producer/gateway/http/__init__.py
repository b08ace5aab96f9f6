"""HTTP before and behind the APIs: bytes, heads, bodies, origins, problems."""
