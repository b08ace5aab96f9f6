"""Parts of `make bench-pools` that run the code of an earlier revision beside that of this tree, or before it."""
