"""A Redis-compatible server and a whole fleet on this machine, for as long as they are wanted."""
