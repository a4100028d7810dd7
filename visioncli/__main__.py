"""`python -m visioncli`."""

from visioncli.cli import main

if __name__ == "__main__":
    main()
