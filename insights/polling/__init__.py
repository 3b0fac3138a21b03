"""Find new and changed rows: cheap polls, and sweeps that make them complete."""
