"""Message brokers: one module each."""
