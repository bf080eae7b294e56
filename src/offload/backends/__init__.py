"""The doors in: what TASKS[alias]["BACKEND"] may name."""
