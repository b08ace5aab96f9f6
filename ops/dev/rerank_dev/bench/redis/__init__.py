"""`make bench-redis`: what persistence costs the queue, and what each kind of it loses when the server is killed."""
