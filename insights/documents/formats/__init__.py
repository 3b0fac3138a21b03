"""Loaders of files, one module a format. Only the loader's process imports them."""
