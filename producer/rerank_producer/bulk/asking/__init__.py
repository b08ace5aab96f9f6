"""Asking the fleet: what is sent ahead, what is waited out, and how first-stage scores count."""
