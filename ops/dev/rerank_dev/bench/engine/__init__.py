"""`make bench-engine`: the engine beside other ways to run the same weights over the same pairs, one thread each."""
