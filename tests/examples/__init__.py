"""Tests of the programs that users read first."""
