"""Commands that prepare a model for a host: export and tune."""
