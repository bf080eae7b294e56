"""Runs a task in a worker: hooks, signals, retries, limits and errbacks."""
