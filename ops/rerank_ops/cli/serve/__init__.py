"""Commands that run a part of the fleet in the foreground."""
