"""Who takes part in the engine bench: contenders, models, and what our engine is to reach against each of them."""
