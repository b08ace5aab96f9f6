"""`make bench-bulk`: the bulk command beside the bare engine and a plain script, a kill, its neighbours, its memory."""
