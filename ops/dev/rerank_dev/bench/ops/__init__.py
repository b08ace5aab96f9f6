"""`make bench-ops`: whether the autoscaling signal tells the truth, and what callers see of restarts and fail-overs."""
