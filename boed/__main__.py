"""`python -m boed`."""

from boed.cli import main

if __name__ == "__main__":
    main()
