"""What rows store of a task: values, arguments and exceptions, as JSON."""
