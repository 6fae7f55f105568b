"""open_round: plan what the loop asks for and put its tasks in the queue; then end.

People answer in days, so no flow waits for them: `close_round` looks again later.
"""

from __future__ import annotations

from prefect import flow

from flows.artifacts import show_rounds
from flows.steps import Report, push, record, select

__all__ = ["open_round"]


@flow(name="retrue-open-round")
def open_round(root: str) -> Report:
    """Select and push."""
    selected = select(root)
    pushed = push(root)
    if selected["planned"]:
        record(root, "Rounds opened")
        show_rounds(selected["planned"])
    return {"select": selected, "push": pushed}
