"""What is made of a row, and who is to blame when it fails."""
