"""Commands that answer before a fleet is bought: how many processes, which policy, how large a Redis."""
