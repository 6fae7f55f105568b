"""The command line: one file per family of commands, each imported only when it is called."""

from __future__ import annotations

from retrue.cli.app import main

__all__ = ["main"]
