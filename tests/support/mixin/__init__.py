"""The mixin under test: its queries, a live fleet for them, and a real Prometheus."""
