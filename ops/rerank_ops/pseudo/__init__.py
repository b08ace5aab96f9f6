"""Pseudo-queries: what a corpus whose users' queries nobody kept can be asked. Pure."""
