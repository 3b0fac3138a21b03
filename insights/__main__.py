"""`python -m insights`: the command line."""

from insights.cli import main

if __name__ == "__main__":
    main()
