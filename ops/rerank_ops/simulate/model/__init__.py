"""The simulated fleet itself: clients, queue, processes and their virtual clock."""
