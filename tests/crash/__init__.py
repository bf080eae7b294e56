"""Real processes, really killed. What must hold is in docs/explanation/guarantees.md."""
