"""Input and output of a request: the ports to Redis, for threads and for event loops."""
