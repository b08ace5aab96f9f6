"""What is watched in a fleet: recording rules, alerts, as one table. `make mixin` writes Prometheus's files of it."""
