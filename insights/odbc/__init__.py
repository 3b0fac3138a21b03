"""ODBC: the door to pyodbc, and SQLAlchemy dialects over it."""
