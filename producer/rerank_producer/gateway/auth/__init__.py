"""API keys: their file, who has one, on which terms, and what it may spend."""
