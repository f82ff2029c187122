"""``python -m crbench``."""

from crbench.cli import main

if __name__ == "__main__":
    main()
