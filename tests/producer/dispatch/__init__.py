"""Tests of what sends jobs and waits for them, over a fleet in memory."""
