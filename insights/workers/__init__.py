"""Child processes for whatever can hang or crash: spawned, spoken to, timed, restarted."""
