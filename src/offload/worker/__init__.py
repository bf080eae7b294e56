"""The worker: it claims jobs, runs them, and writes their outcomes."""
