"""What a client does behind its callers: each on one daemon thread, which delays nobody and ends with the client."""
