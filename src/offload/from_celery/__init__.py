"""Moves a project from Celery: says what becomes of each part, and carries what can be carried."""
