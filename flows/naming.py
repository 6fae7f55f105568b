"""What a flow run is called on Prefect's pages."""

from __future__ import annotations

from pathlib import Path

from prefect.runtime import flow_run

from retrue.config import load_config
from retrue.wiring import clock, find_root

__all__ = ["project_of", "run_name"]


def project_of(root: str) -> str:
    """The project's name, as the workspace's configuration says.

    Raises:
        WorkspaceError: `root` is in no workspace.
        ConfigError: The configuration is wrong; no step would get further.
    """
    return load_config(find_root(Path(root))).project


def run_name() -> str:
    """The project and the minute of the flow run that starts, `defects-2026-03-02-0300`."""
    return f"{project_of(str(flow_run.parameters['root']))}-{clock():%Y-%m-%d-%H%M}"
