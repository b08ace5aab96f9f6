"""Routes on the side of a client: what it knows of them, and how errors name them."""
