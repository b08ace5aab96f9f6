"""Pools in the simulator: several models, each with its queue, in processes of their own or together; and cascades."""
