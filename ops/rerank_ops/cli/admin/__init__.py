"""Commands that inspect and repair: the setup, the cache, dead letters, the gateway's keys."""
