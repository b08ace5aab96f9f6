"""Models of a running process: loads and unloads them beside its work, within its memory."""
