"""The command `rollout`: leads a route to a new model, step by step, shows a rollout, and turns one back."""
