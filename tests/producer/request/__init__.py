"""Tests of what a request becomes and what an answer is made of."""
