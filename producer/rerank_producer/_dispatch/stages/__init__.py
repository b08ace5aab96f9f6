"""A request in stages: several models, one after another, under one deadline."""
