"""`make bench-ops`: whether the autoscaling signal tells the truth, and what telling it costs."""
