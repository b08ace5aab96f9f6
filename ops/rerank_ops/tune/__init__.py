"""Measure this host with one model and find the settings that suit the two."""
