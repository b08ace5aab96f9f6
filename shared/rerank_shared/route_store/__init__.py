"""Routes in Redis: read, changed in one step, kept by version, seeded from fleet.toml and put back when lost."""
