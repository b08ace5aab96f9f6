"""Simulator: runs the real fleet's policies on a virtual clock, against random arrivals and run times.

The fleet's own code decides: batches and their runs, backpressure, the take of a more urgent job, fairness, shards,
admission, urgency. Two parts are twins that a test compares with the real ones: the backlog, which is summed by steps
of urgency (`model/backlog.py`), and the queue, whose real choice is in Lua. Time is approximated: a run takes the time
that the cost model predicts, times random noise. One seed decides all random numbers. Left out: failures, jobs sent
again, equal pairs in flight, polls of an empty queue, and the tokenizer, whose time is part of the hand-off.

`model/` is the simulated fleet; beside it are its input (arrivals) and its evaluation (planning, report).
"""
