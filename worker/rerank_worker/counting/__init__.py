"""What a worker process counts, in memory that its supervisor reads."""
