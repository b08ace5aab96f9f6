"""`make bench-pools`: several models on one fleet, cascades, upgrades under load, and canaries that are bad."""
