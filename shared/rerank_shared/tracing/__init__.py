"""Tracing: spans over OpenTelemetry's API where it is installed (extra `otel`), their names, and their export."""
