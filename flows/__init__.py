"""Prefect flows: when things run, never what depends on what."""
