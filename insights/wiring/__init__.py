"""The wiring: settings in, running parts out; the only place that names concrete classes."""
