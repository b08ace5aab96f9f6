"""A fleet on a virtual clock: the policies that the real one runs, against arrivals and run times that are drawn.

Decisions are the fleet's own code: batches and their runs, backpressure, the take of a more urgent job, fairness,
shards, admission, urgency. Two things are twins, each held against the real one by a test: the work before a job is
summed by steps of urgency (`model/backlog.py`), and the queue in Redis chooses in Lua. Time is approximated: a run
takes what the cost model says, times what chance adds. All of it follows from one seed. Left out: failures, jobs sent
again, equal pairs in flight, questions to an empty queue, and the tokenizer, which is part of the time of a hand-off.

`model/` is the simulated fleet; beside it is what it is given (arrivals) and what is read off it (planning, report).
"""
