"""open_round: plan what the loop asks for and put its tasks in the queue; then end.

People answer in days, so no flow waits for them: `close_round` looks again later.
"""

from __future__ import annotations

from typing import Literal

from prefect import flow

from flows.artifacts import show_rounds
from flows.naming import run_name
from flows.steps import Report, push, record, request, select, told

__all__ = ["open_round"]


@flow(name="retrue-open-round", flow_run_name=run_name)
def open_round(
    root: str,
    kind: Literal["incoming", "inference", "adhoc", "gate"] | None = None,
    why: str = "asked for in Prefect",
    budget: int | None = None,
    person: str | None = None,
) -> Report:
    """Select and push.

    Args:
        root: The workspace.
        kind: The occasion of a round you ask for; none: what the loop asks for.
        why: In your words; kept with the round you ask for.
        budget: Samples of the round you ask for; none: `select.budget`.
        person: Your name, for the record.
    """
    selected = told(select(root) if kind is None else request(root, kind, why, budget, person))
    record(root, "Rounds planned")
    pushed = told(push(root))
    if selected["planned"]:
        show_rounds(selected["planned"])
    return {"select": selected, "push": pushed}
