"""Other ways in than polling: what is sent is checked, redacted, and accepted into the inbox."""
