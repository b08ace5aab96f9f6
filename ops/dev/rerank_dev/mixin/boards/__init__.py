"""Grafana dashboards as Python: panels of one line each, and the JSON that Grafana reads."""
