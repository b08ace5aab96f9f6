"""Checks of `rerank-fleet doctor`: one module for each part of the installation, with functions that yield findings.

A check reports the faults that it looks for and never raises for them. It changes nothing on the machine or the server.
"""
