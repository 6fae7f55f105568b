"""Register a workspace's flows and their schedules with the stack's Prefect server."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["deploy", "fingerprint"]

SETTINGS = ("prefect.yaml", "configs/project.yaml", "configs/labels.yaml")
DEPLOY_SECONDS = 300.0  # about 10 s on a quiet machine


def fingerprint(root: Path) -> str:
    """Changes when the flows should be registered again; "" = there is nothing to register."""
    if not (root / SETTINGS[0]).is_file():
        return ""
    told = hashlib.sha256(str(root.resolve()).encode())
    for name in SETTINGS:
        path = root / name
        told.update(path.read_bytes() if path.is_file() else b"")
    return told.hexdigest()


def deploy(root: Path, environment: Mapping[str, str]) -> str:
    """Run `retrue deploy` in a workspace.

    Returns:
        What went wrong, "" = nothing.
    """
    command = (sys.executable, "-m", "retrue.cli", "-C", str(root), "deploy")
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command,
            cwd=root,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=DEPLOY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end in {DEPLOY_SECONDS:.0f} s"
    said = (done.stderr or done.stdout).strip()
    return said[-500:] if done.returncode else ""
