"""What tests need of a running fleet."""
