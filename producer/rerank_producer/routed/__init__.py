"""How requests that came by a route ended: counted by clients and gateways in Redis, and read as figures of a model."""
