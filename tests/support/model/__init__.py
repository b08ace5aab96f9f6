"""Models for tests: exported, damaged, tiny, and what they must give."""
