"""Lets ``python -m clworker`` stand in for the console script."""

from clworker.cli import main

if __name__ == "__main__":
    main()
