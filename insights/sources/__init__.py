"""Sources: reading legacy databases over ODBC, page by page and row by row, in a child process."""
