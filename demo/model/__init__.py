"""The demo's own model: synthetic helpdesk rows, tokenizer, training, export, evaluation."""
