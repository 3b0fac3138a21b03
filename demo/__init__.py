"""The demo: a helpdesk application, its knowledge, and a model to read them with."""
