"""Simulated fleet: clients, queue, processes and their virtual clock."""
