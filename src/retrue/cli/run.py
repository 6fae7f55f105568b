"""`retrue run`: the workspace's own flows, loaded by path."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import cast

import typer

from retrue.cli.call import AsJson, Call, call_of, examples
from retrue.errors import WorkspaceError

__all__ = ["app", "load_flow"]

app = typer.Typer()
flows = typer.Typer(no_args_is_help=True)
app.add_typer(flows, name="run")

# Read when Prefect is imported. One line per step is what people want to see on a terminal.
PREFECT = {
    # Without an API, Prefect starts a server of its own: on a busy machine 20 s are too few.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LOGGERS_PREFECT_LEVEL": "WARNING",
    "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "INFO",  # a step that is tried again
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s  %(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(asctime)s  %(message)s",
}
Flow = Callable[[str], Mapping[str, object]]


@flows.callback()
def _run() -> None:
    """Run one of the workspace's flows now. Returns 0 when it did its work."""


@flows.command(epilog=examples("retrue run cycle", "retrue -C loops/defects run cycle"))
def cycle(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Everything that can be done now, in one line; a second run finds nothing to do."""
    _run_flow(call_of(ctx, as_json=as_json), "cycle")


@flows.command(epilog=examples("retrue run monitor"))
def monitor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Read new traffic and check it for drift."""
    _run_flow(call_of(ctx, as_json=as_json), "monitor")


@flows.command(epilog=examples("retrue run open-round"))
def open_round(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Plan the rounds that are due and put their tasks into the queue."""
    _run_flow(call_of(ctx, as_json=as_json), "open_round")


@flows.command(epilog=examples("retrue run close-round"))
def close_round(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Bring answers home, judge them, publish the rounds that are done."""
    _run_flow(call_of(ctx, as_json=as_json), "close_round")


@flows.command(epilog=examples("retrue run retrain"))
def retrain(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Train a challenger on the newest version and put it to the gate."""
    _run_flow(call_of(ctx, as_json=as_json), "retrain")


def _run_flow(call: Call, name: str) -> None:
    from retrue.wiring import find_root, quiet_telemetry

    quiet_telemetry()
    for setting, value in PREFECT.items():
        os.environ.setdefault(setting, value)
    root = find_root(call.folder)
    flow = load_flow(root, name)
    report = flow(str(root))
    done = "nothing to do" if report.get("idle") else "done"
    if "skipped" in report:
        done = "skipped, another run is at it"
    command = name.replace("_", "-")
    call.show(report, [f"{command}: {done}. `retrue status` says where things stand."])


def load_flow(root: Path, name: str) -> Flow:
    """The function `name` of a workspace's `flows/<name>.py`.

    Raises:
        WorkspaceError: There is no such file, or no such function in it.
    """
    path = root / "flows" / f"{name}.py"
    if not path.is_file():
        raise WorkspaceError(
            f"{path}: expected the flow `{name}`, found none. Copy the flows from a new workspace "
            "(`retrue init DIR`), or run the steps one by one: `retrue ingest`, `retrue drift`, ..."
        )
    # The flows import each other as `flows.<name>`: this workspace's, whatever was loaded before.
    for loaded in [one for one in sys.modules if one == "flows" or one.startswith("flows.")]:
        del sys.modules[loaded]
    sys.path.insert(0, str(root))
    spec = spec_from_file_location(f"flows.{name}", path)
    if spec is None or spec.loader is None:
        raise WorkspaceError(f"{path}: expected a Python file, got one that cannot be loaded.")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    flow = getattr(module, name, None)
    if not callable(flow):
        raise WorkspaceError(f"{path}: expected a flow named `{name}` in it, found none.")
    return cast("Flow", flow)
