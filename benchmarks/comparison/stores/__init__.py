"""The databases and brokers in which the contenders store their jobs."""
