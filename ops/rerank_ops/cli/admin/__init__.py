"""Commands that inspect and mend: the setup, the cache, dead letters, the gateway's keys."""
