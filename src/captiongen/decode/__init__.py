"""Greedy, sampling and beam search over a next-token callable."""
