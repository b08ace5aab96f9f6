"""A fleet on a virtual clock: the policies that the real one runs, against arrivals and run times that are drawn.

Nothing is approximated that is a decision (batches, intake, fairness, shards, admission, urgency are the fleet's own
code); time is: a run takes what the cost model says, times what chance adds. All of it follows from one seed. Left out:
failures, jobs sent again, equal pairs in flight, and the tokenizer, which is part of the time of a hand-off.
"""
