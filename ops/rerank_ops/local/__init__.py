"""Local server and local fleet: a Redis-compatible server or a whole fleet on this machine, for the life of a block."""
