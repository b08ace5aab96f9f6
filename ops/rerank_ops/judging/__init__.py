"""How good rankings are by judgements, and whether a difference is more than chance. Files and fleets are elsewhere."""
