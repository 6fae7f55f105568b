"""`python -m retrue.cli` is `retrue`."""

from __future__ import annotations

from retrue.cli.app import main

if __name__ == "__main__":
    main()
