"""The models that the fleet serves, and the names by which requests may ask for them."""
