"""Captions as text: normalising, tokenizing. Needs no torch."""
