"""The running daemon: schedule, roles, signals, drain, and systemd."""
