"""AI insights for software that cannot be changed."""
