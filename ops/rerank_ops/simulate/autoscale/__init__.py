"""Autoscaling in the simulator: shapes of load, how well a fleet that is scaled did, and fixed fleets beside it."""
