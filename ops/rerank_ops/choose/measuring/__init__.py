"""Measuring for a choice: scores of several lengths and times of a fleet, and both as files, to be read again."""
