"""Files as documents: listed here, read by a child that may crash, hang or run out of memory."""
