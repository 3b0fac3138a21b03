"""What everything stands on: environment, logs, key encoding, failpoints. No I/O at import."""
