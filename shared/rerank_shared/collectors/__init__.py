"""Collectors: gauges for Prometheus that are read from Redis at each scrape, for whichever process serves /metrics."""
