"""The PostgreSQL store: ledger, work, insights, knowledge, outbox; its SQL is in `sql/store/`."""
