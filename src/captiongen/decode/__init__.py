"""Greedy, sampling and beam search over a next-token callable; what guards them, and what chooses among beams."""
