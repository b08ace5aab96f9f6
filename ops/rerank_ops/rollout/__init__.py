"""Rollouts: a route goes over from one model to another in steps, is watched at each, and goes back by itself."""
