"""One round of telling a sink what it shall show, and marked rows that they are done."""
