"""The command `evaluate`: measures first stages, models and fused orders on labelled queries."""
