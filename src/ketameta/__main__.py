"""``python -m ketameta`` is the ``ketameta`` command."""

from ketameta.cli import main

if __name__ == "__main__":
    main()
