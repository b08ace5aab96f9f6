"""The fleet's decisions, as pure code: no clock, no connection, plain data in and a decision out.

The fleet and the simulator run the same files, so what one predicts the other does.
"""
