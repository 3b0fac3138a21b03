"""Writes the knowledge articles again: `python -m demo.data`."""

from demo.data.articles import write_knowledge

write_knowledge()
