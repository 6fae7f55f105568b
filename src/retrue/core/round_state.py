"""A round's state is a function of the decisions about it and of whether anybody answered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from retrue.records import Decision, Round, RoundPlan, RoundState

__all__ = ["ROUND_DECISIONS", "round_with_state"]

# The kinds that make a round's state.
ROUND_DECISIONS = ("round-opened", "round-closed", "round-published", "round-cancelled")


def round_with_state(plan: RoundPlan, decisions: Iterable[Decision], *, answered: bool) -> Round:
    """The round of a plan.

    planned -> open (`round-opened`) -> collecting (the first answer file) -> closed
    (`round-closed`) -> published (`round-published`), or cancelled (`round-cancelled`). The
    furthest of these counts, so decisions may come in any order.

    Args:
        plan: The round's plan.
        decisions: Any decisions; those with another `data["round"]` are passed over. Of two of a
            kind the earlier gives the time.
        answered: The round has an answer file.
    """
    at: dict[str, datetime] = {}
    for decision in decisions:
        if decision.data.get("round") == plan.round_id:
            at[decision.kind] = min(decision.at, at.get(decision.kind, decision.at))
    return Round(
        plan=plan,
        state=_state(at.keys(), answered),
        opened_at=at.get("round-opened"),
        closed_at=at.get("round-closed"),
    )


def _state(kinds: Iterable[str], answered: bool) -> RoundState:
    made = set(kinds)
    if "round-cancelled" in made:
        return "cancelled"
    if "round-published" in made:
        return "published"
    if "round-closed" in made:
        return "closed"
    if "round-opened" in made:
        return "collecting" if answered else "open"
    return "planned"
