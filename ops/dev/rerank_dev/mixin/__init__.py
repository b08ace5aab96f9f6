"""The mixin's files: rules, alerts, their unit tests and dashboards, written from the table in `rerank_ops.mixin`."""
