"""The closing half of a tick as a flow run on a Prefect server, as a schedule would do it."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from retrue.adapters.process import last_words, run_process
from retrue.cycle import Closing
from retrue.errors import WorkspaceError

__all__ = ["close_by_flow", "read_closing"]

FLOW_SECONDS = 1_200.0  # 15 s on a quiet machine, where there is little to train


def close_by_flow(root: Path) -> Closing:
    """Run `retrue run cycle`, and read its report back; PREFECT_API_URL names the server.

    Raises:
        WorkspaceError: The flow failed; its last words are in the message.
        ServiceUnavailable: It did not end.
    """
    cycle = (sys.executable, "-m", "retrue.cli", "-C", str(root), "run", "cycle", "--json")
    done = run_process(cycle, cwd=Path.cwd(), env={}, timeout=FLOW_SECONDS)
    if done.code:
        raise WorkspaceError(f"retrue run cycle: ended with {done.code}: {last_words(done)}")
    return read_closing(done.out)


def read_closing(report: str) -> Closing:
    """The closing half of a cycle's report as JSON.

    Raises:
        WorkspaceError: It is the report of something else, such as a run that was skipped.
    """
    try:
        return TypeAdapter(Closing).validate_json(report)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WorkspaceError(
            f"retrue run cycle: expected its report, got something else ({where}: {first['msg']})"
        ) from error
