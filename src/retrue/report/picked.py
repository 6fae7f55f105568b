"""What the newest round asks about, arm by arm, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrue.reading.ballots import Asked
from retrue.records import Arm, Round, Task
from retrue.report.thumbnails import Look, Looks
from retrue.workspace import Workspace

__all__ = ["ARMS", "ArmPicks", "Pick", "RoundPicks", "gather_picks"]

SHOWN = {"image": 24}  # samples per arm on the page
SHOWN_AS_TEXT = 8  # fields take more room than thumbnails
# Why each arm is there, for people who do not know its name.
ARMS: Mapping[Arm, str] = {
    "audit": "Drawn by chance from all traffic, blind to any score: this is what accuracy is "
    "measured on.",
    "random": "Drawn by chance, to train on: the fair comparison for the picked ones.",
    "active": "The model hesitates between answers here.",
    "novel": "Unlike anything labelled so far.",
    "quota": "A class that must not be missed.",
    "gold": "Known answers, to see how far people can be trusted.",
    "relabel": "Asked again, because the question changed.",
    "dispute": "People disagreed.",
    "adopted": "Labels that existed already.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One sample of a round."""

    sample_id: str
    why: str  # what of the trigger is about this sample: "margin 0.04"
    predicted: str | None  # canonical label, by the model, before anybody answered
    probability: float | None
    label: str | None  # canonical label people gave; None: not (yet)
    status: str  # of the verdict; "": none yet
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPicks:
    """One arm of a round."""

    arm: Arm
    meaning: str
    total: int
    judged: int  # with a prediction and an accepted label
    surprised: int  # of these, people said something else than the model
    picks: tuple[Pick, ...]  # the first ones; surprises first


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPicks:
    """The newest round that picked samples and is not cancelled."""

    round_id: str
    kind: str
    why: str
    state: str
    arms: tuple[ArmPicks, ...]


def gather_picks(
    workspace: Workspace, rounds: Sequence[Round], asked: Mapping[str, Asked], looks: Looks
) -> RoundPicks | None:
    """The picks of the newest round that picked something; None: there is none yet."""
    live = [item for item in rounds if item.state != "cancelled"]
    # Rounds that ask again have nothing picked: they are shown only where there is no other.
    picked = [item for item in live if item.plan.kind not in ("dispute", "relabel")]
    if not live:
        return None
    last = (picked or live)[-1]
    shown = SHOWN.get(workspace.config.data.kind, SHOWN_AS_TEXT)
    by_arm: dict[Arm, list[Task]] = {}
    for task in workspace.records.tasks(last.plan.round_id):
        by_arm.setdefault(task.arm, []).append(task)
    return RoundPicks(
        round_id=last.plan.round_id,
        kind=last.plan.kind,
        why=last.plan.why,
        state=last.state,
        arms=tuple(_arm(arm, by_arm[arm], shown, asked, looks) for arm in ARMS if arm in by_arm),
    )


def _arm(
    arm: Arm, tasks: Sequence[Task], most: int, asked: Mapping[str, Asked], looks: Looks
) -> ArmPicks:
    def surprise(task: Task) -> bool:
        label = _label(asked, task)
        return None not in (task.predicted, label) and label != task.predicted

    judged = [task for task in tasks if task.predicted and _label(asked, task)]
    # What people corrected is most worth a look; the sort is stable, so the draw's order stays.
    shown = sorted(tasks, key=lambda task: not surprise(task))[:most]
    return ArmPicks(
        arm=arm,
        meaning=ARMS[arm],
        total=len(tasks),
        judged=len(judged),
        surprised=sum(surprise(task) for task in judged),
        picks=tuple(_pick(task, asked, looks) for task in shown),
    )


def _pick(task: Task, asked: Mapping[str, Asked], looks: Looks) -> Pick:
    item = asked.get(task.sample_id)
    return Pick(
        sample_id=task.sample_id,
        why=_why(task.trigger),
        predicted=task.predicted,
        probability=task.predicted_probability,
        label=_label(asked, task),
        status=item.verdict.status if item and item.verdict else "",
        look=looks.of(task.sample_id),
    )


def _why(trigger: str) -> str:
    last = trigger.rpartition("; ")[2]
    return last.rpartition("(")[2][:-1] if last.endswith(")") and "(" in last else last


def _label(asked: Mapping[str, Asked], task: Task) -> str | None:
    item = asked.get(task.sample_id)
    return item.verdict.label if item is not None and item.verdict is not None else None
