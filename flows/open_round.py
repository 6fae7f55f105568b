"""open_round: plan what the loop asks for and put its tasks in the queue; then end.

People answer in days, so no flow waits for them: `close_round` looks again later.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.artifacts import show_rounds
from flows.running import Report, loop_flow
from flows.steps import push, record, request, select, told
from retrue.errors import LeaseHeld, TransientError

__all__ = ["open_round"]


@loop_flow("retrue-open-round")
def open_round(
    root: str,
    kind: Literal["due", "incoming", "inference", "adhoc", "gate"] = "due",
    why: str = "asked for in Prefect",
    budget: Annotated[int, Field(ge=0)] = 0,
    person: str = "",
) -> Report:
    """Select and push.

    Args:
        root: The workspace; "." is the folder that was deployed.
        kind: What to open. `due`: what the loop asks for by itself, as after an alarm. The others
            are a round that you ask for: fresh `incoming` traffic, rows a model scored
            (`inference`), hard or suspect samples (`adhoc`), or evidence to choose between two
            models (`gate`).
        why: Your reason; kept with the round you ask for.
        budget: Samples of the round you ask for. 0: as many as `select.budget` says.
        person: Your name, for the record.
    """
    selected = told(select(root) if kind == "due" else _asked(root, kind, why, budget, person))
    record(root, "Rounds planned")
    pushed = told(push(root))
    if selected["planned"]:
        show_rounds(selected["planned"])
    return {"select": selected, "push": pushed}


def _asked(root: str, kind: str, why: str, budget: int, person: str) -> Report:
    """Plan the round a person asks for: what another run holds up must not be taken for done."""
    try:
        return request(root, kind, why, budget or None, person or None)
    except LeaseHeld as held:
        raise TransientError(f"your {kind} round was not planned; ask again. {held}") from held
