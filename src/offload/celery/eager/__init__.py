"""Runs tasks in the process of the caller."""
