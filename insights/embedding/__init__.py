"""The sentence-transformers door, its child, and the supervisor's side of it."""
