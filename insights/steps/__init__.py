"""The pure steps of a row: template, validation, attribution. No I/O."""
