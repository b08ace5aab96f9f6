"""`make bench-scheduling`: what deadlines, shards, admission and single flight gain over the same fleet without them.

Variants run in turns on one machine, each a fleet of its own namespace; a fleet that is not asked waits without work.
"""
