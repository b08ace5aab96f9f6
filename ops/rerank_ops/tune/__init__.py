"""Tuning: measures one model on this host and finds the settings that suit both."""
