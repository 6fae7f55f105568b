"""How every flow of the loop runs: named, and ended by a message instead of a traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, cast

from prefect import Flow, State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from retrue.config import load_config
from retrue.errors import LeaseHeld, RetrueError
from retrue.wiring import clock, find_root

__all__ = ["Report", "loop_flow", "project_of", "run_name"]

Report: TypeAlias = dict[str, Any]  # what a flow or a step did, as plain JSON values
P = ParamSpec("P")


def loop_flow(name: str) -> Callable[[Callable[P, Report]], Flow[P, Report]]:
    """A flow in whose runs an error of ours is one message, and a held lease is no error.

    Where another run holds a lease for longer than the steps' retries, that run does the work, and
    the next tick does what is left: the flow run ends as `Skipped` and says so.

    Args:
        name: The flow's name on Prefect's pages.
    """

    def decorate(function: Callable[P, Report]) -> Flow[P, Report]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Report | State[Report]:
            if flow_run.flow_name != name:  # part of another flow, which ends as this would
                return function(*args, **kwargs)
            logging.getLogger("prefect.task_runs").addFilter(_in_words)
            try:
                return function(*args, **kwargs)
            except LeaseHeld as held:
                skipped = f"skipped: {held}. That run does it, and the next tick what is left."
                get_run_logger().warning(skipped)
                return Completed(name="Skipped", message=skipped, data={"skipped": str(held)})
            except RetrueError as error:
                return Failed(message=str(error), data=error)

        # Types are looked up where they are named, not here.
        run.__dict__["__signature__"] = signature(function, eval_str=True)
        # Prefect takes a state that is returned for the run's own, and hands out what is in it.
        return cast("Flow[P, Report]", flow(name=name, flow_run_name=run_name)(run))

    return decorate


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


def _in_words(record: logging.LogRecord) -> bool:
    """Of a step's own lines: its retries, not its end, of which the flow's log tells.

    What our errors say is enough; their traceback buries it, and may hold an address.
    """
    if record.exc_info and isinstance(record.exc_info[1], RetrueError):
        record.exc_info = None
    return not record.getMessage().startswith("Finished in state")
