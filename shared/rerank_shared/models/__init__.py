"""Models as files: where they come from, what they are, and what this CPU may run."""
