"""Tables of the documentation, written from the code and from what was measured."""
