"""Workflows: jobs that wait for each other, and a job that finishes with the last of them."""
