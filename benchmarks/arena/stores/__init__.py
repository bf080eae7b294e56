"""Where contenders keep their jobs: made, emptied and asked for what they cost."""
