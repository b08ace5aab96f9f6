"""What a request needs of the outside world, for threads and for event loops."""
