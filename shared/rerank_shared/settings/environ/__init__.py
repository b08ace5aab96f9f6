"""The environment as settings: the names of variables, and how values are joined and checked."""
