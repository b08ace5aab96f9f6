"""The URL of the Redis server: its schemes, parts and options, with every mistake named."""
