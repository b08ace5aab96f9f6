"""The command `top`: what a fleet does, read from Redis alone, on one screen."""
