"""Models as files: their sources, their formats, and the precisions that this CPU may run."""
