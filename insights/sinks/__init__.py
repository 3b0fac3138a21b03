"""Sinks: tables in legacy databases that show insights, written by a child process each."""
