"""Jobs come in and outcomes go out: the consumer, its gate, the task and its leases."""
