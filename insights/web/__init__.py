"""What the daemon answers over HTTP: health, on a port of its own."""
