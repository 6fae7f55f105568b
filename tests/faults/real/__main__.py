"""Runs a series of fault runs: `python -m faults.real --help`, in the folder `tests`."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # working processes load this file too, and need nothing of it
    from faults.real.series import main

    sys.exit(main())
