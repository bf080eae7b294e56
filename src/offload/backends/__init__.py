"""The backends that TASKS[alias]["BACKEND"] may name."""
