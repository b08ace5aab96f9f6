"""What `rerank-fleet doctor` looks at: one module a part of the installation, each a function that yields findings.

A check never raises for what it is there to find, and changes nothing on the machine or the server.
"""
