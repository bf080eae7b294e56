"""A small project and the tools with which the benchmarks put load on it."""
