"""Commands that size a fleet before it is bought: the number of processes, the policy, the Redis server."""
