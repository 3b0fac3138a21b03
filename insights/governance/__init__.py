"""Governance: what may leave a row, and what it may cost."""
