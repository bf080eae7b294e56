"""A small shop whose slow work runs in the background."""
