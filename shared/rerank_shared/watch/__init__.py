"""What a fleet tells of itself while it runs: how busy it was, how many processes it should have, its metrics."""
