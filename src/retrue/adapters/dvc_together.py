"""Several DVC commands in one process: DVC takes a second to load, and each step needs two.

`python -m retrue.adapters.dvc_together push '[["add", "a"], ["push"]]'` stops at the first that
fails; the word before the list is for people who look at processes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import cast

__all__ = ["main"]


def main(commands: str) -> int:
    """Run the commands in order; the exit code of the first that fails, else 0.

    Args:
        commands: JSON list of argument lists.
    """
    dvc = cast("Callable[[list[str]], int]", import_module("dvc.cli").main)
    for args in cast("list[list[str]]", json.loads(commands)):
        code = dvc(args)
        if code:
            print(f"dvc {' '.join(args)}: exit {code}", file=sys.stderr)  # noqa: T201
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[-1]))
