"""A small Django project, and the tools with which benchmarks put load on it."""
