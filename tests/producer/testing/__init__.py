"""Tests of the fleet in memory that users test with."""
