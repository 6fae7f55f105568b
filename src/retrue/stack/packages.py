"""Services from Python packages: each in a virtual environment of its own, pinned by hash.

RETRUE_SERVICES names the folder that holds them; the default is `.retrue-services` of a checkout,
else the user's cache, so that all workspaces share one installation.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from retrue.errors import StackError
from retrue.stack.service import Say

__all__ = ["environment", "install"]

PINS = Path(__file__).with_name("pins")
CHECKOUT = Path(__file__).parents[3]


def environment(service: str) -> Path:
    """Where a service's virtual environment is, or would be."""
    return _home() / service


def _home() -> Path:
    if named := os.environ.get("RETRUE_SERVICES"):
        return Path(named)
    if (CHECKOUT / "src" / "retrue").is_dir():
        return CHECKOUT / ".retrue-services"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "retrue" / "services"


def install(service: str, say: Say) -> Path:
    """Make the virtual environment of a service, unless it is there whole; returns it.

    Raises:
        StackError: It cannot be installed; with the installer's last words.
    """
    home, pins = environment(service), PINS / f"{service}.txt"
    home.parent.mkdir(parents=True, exist_ok=True)
    ready, wanted = home / ".ready", hashlib.sha256(pins.read_bytes()).hexdigest()
    with (home.parent / f"{service}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another workspace may be installing the same
        if not ready.exists() or ready.read_text(encoding="ascii") != wanted:
            say(f"{service}: installing its packages into {home}, once")
            ready.unlink(missing_ok=True)
            _make(home, pins)
            ready.write_text(wanted, encoding="ascii")
    return home


def _make(home: Path, pins: Path) -> None:
    wanted = ("--no-deps", "--require-hashes", "-r", pins)
    own = CHECKOUT / ".venv-bootstrap" / "bin" / "uv"  # the Makefile's, where PATH has none
    uv = shutil.which("uv") or (own if own.exists() else None)
    python = home / "bin" / "python"
    if uv is not None:
        # --no-config: uv refuses a project's constraints together with hashes.
        _run([uv, "--no-config", "venv", "--clear", "--python", sys.executable, home])
        _run([uv, "--no-config", "pip", "install", "--python", python, *wanted])
    else:
        _run([sys.executable, "-m", "venv", "--clear", home])
        _run([python, "-m", "pip", "install", "--quiet", *wanted])


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(str(word) for word in command[:4])
        raise StackError(
            f"{words} ...: expected it to install, it ended with {done.returncode}. "
            f"Its last words: {(done.stdout + done.stderr)[-2000:]}"
        )
