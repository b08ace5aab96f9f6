"""`make bench-evaluate`: the same evaluation of several collections and models, and one compact table of them."""
