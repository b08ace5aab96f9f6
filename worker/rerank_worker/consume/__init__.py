"""Consumption: takes jobs from the queue and sends outcomes, with the consumer, its gate, the task and its leases."""
