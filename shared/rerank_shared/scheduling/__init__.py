"""The fleet's scheduling decisions as pure code: plain data in, a decision out, no clock and no connection.

The fleet and the simulator run the same files, so the simulator predicts the fleet's decisions.
"""
