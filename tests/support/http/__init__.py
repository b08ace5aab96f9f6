"""HTTP for tests: gateways, clients and upstreams."""
