"""A site: its settings, the files they stand in, and what they mean."""
