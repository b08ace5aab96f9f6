"""The gateway watches the fleet: state, live view, latency, readiness."""
