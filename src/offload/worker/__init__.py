"""The engine and its executors: jobs are claimed, run, and their outcomes written."""
