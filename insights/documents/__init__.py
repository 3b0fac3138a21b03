"""Loaders of files, one module a format, behind one registry."""
