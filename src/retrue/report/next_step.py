"""The one thing to do next, in plain words, with the command that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retrue.core.incident import Incident, current_incident
from retrue.errors import TransientError
from retrue.ports import RepoState
from retrue.reading.pushing import is_pushed
from retrue.records import Decision, Round
from retrue.report.reading import text, whole
from retrue.workspace import Workspace

__all__ = ["NextStep", "next_step"]

NEW_CLASS = "new_class"
RIDERS = ("probe", "dispute", "gate")  # their labels join the next version, they start none


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What a person should do next."""

    what: str  # an imperative; plain words
    why: str
    command: str | None  # None: nothing to type


def next_step(
    workspace: Workspace,
    *,
    rounds: Sequence[Round],
    decisions: Sequence[Decision],
    incidents: Sequence[Incident],
    left: Mapping[str, tuple[int, float | None]],
    recorded: int,
    repo: RepoState,
    now: datetime,
) -> NextStep:
    """What holds the loop up most.

    Args:
        workspace: Which one.
        rounds: All of them.
        decisions: All of them, by time.
        incidents: All of them, oldest first.
        left: Round -> (answers still wanted, median seconds per answer) for rounds that run.
        recorded: Answers on record that stand, of all rounds.
        repo: What is recorded.
        now: The time.
    """
    return (
        _promote(decisions)
        or _add_class(workspace, rounds, decisions, incidents, now)
        or _approve(rounds)
        or _push(workspace, rounds)
        or _collect(workspace, rounds, recorded)
        or _label(workspace, rounds, left)
        or _close(rounds)
        or _train(decisions)
        or _begin(rounds)
        or _save(repo)
        or NextStep(what="Nothing to do", why="The next check looks at new traffic.", command=None)
    )


def _promote(decisions: Sequence[Decision]) -> NextStep | None:
    gates = [made for made in decisions if made.kind == "gate"]
    moved = [made for made in decisions if made.kind == "promotion"]
    if not gates or gates[-1].data.get("outcome") != "waiting":
        return None
    challenger = text(gates[-1].data, "challenger")
    if any(made.at >= gates[-1].at for made in moved):
        return None
    return NextStep(
        what=f"Decide about model v{challenger}",
        why=f"It passed the gate and waits for a person: {text(gates[-1].data, 'why')}",
        command=f"retrue model promote {challenger}",
    )


def _add_class(
    workspace: Workspace,
    rounds: Sequence[Round],
    decisions: Sequence[Decision],
    incidents: Sequence[Incident],
    now: datetime,
) -> NextStep | None:
    moved = [made for made in decisions if made.kind == "promotion"]
    champion = text(moved[-1].data, "version") if moved else ""
    incident = current_incident(incidents, champion=champion, now=now)
    if incident is None or incident.outcome != NEW_CLASS or incident.aimed is not None:
        return None
    asked = [i.plan.schema_version for i in rounds if i.plan.round_id in incident.probes]
    if workspace.labels.version > max(asked, default=0):
        return None
    return NextStep(
        what="Add the new class to configs/labels.yaml",
        why=incident.why,
        command="retrue schema plan",
    )


def _approve(rounds: Sequence[Round]) -> NextStep | None:
    planned = next((item.plan for item in rounds if item.state == "planned"), None)
    if planned is None:
        return None
    return NextStep(
        what=f"Approve the {planned.kind} round of {sum(planned.arms.values())} samples",
        why=planned.why,
        command=f"retrue round approve {planned.round_id}",
    )


def _push(workspace: Workspace, rounds: Sequence[Round]) -> NextStep | None:
    """Rounds whose tasks were never all seen in the queue, as this machine's ledger knows."""
    running = [item.plan for item in rounds if item.state in ("open", "collecting")]
    try:
        left = [one for one in running if not is_pushed(workspace, one.round_id)]
        # Without any window this is somebody's clone, to read in: another machine pushes.
        if not left or not workspace.state.windows():
            return None
    except TransientError as error:
        return NextStep(
            what="Bring the ledger back",
            why=f"Nothing can be done without it. {error}",
            command="retrue doctor",
        )
    return NextStep(
        what=f"Put the tasks of {left[0].kind} round {left[0].round_id} into the queue",
        why=left[0].why,
        command="retrue push",
    )


def _collect(workspace: Workspace, rounds: Sequence[Round], recorded: int) -> NextStep | None:
    """Answers people gave and nobody fetched; only the queue in files is asked: that is free."""
    running = any(item.state in ("open", "collecting") for item in rounds)
    if workspace.config.queue.use != "files" or not running:
        return None
    waiting = workspace.queue.count() - recorded
    if waiting <= 0:
        return None
    return NextStep(
        what=f"Bring {waiting} answers home",
        why="People gave them in the queue; they are not on record yet.",
        command="retrue collect",
    )


def _label(
    workspace: Workspace, rounds: Sequence[Round], left: Mapping[str, tuple[int, float | None]]
) -> NextStep | None:
    waiting = [item for item in rounds if left.get(item.plan.round_id, (0, None))[0] > 0]
    if not waiting:
        return None
    first = waiting[0].plan
    answers, seconds = left[first.round_id]
    pace = f", about {max(round(answers * seconds / 60), 1)} minutes" if seconds else ""
    studio = workspace.config.queue.use == "label_studio"
    where = " in Label Studio" if studio else ""
    return NextStep(
        what=f"Label{where}: {answers} answers are still wanted{pace}",
        why=f"{first.kind} round {first.round_id}: {first.why}",
        command=None if studio else "retrue label",
    )


def _close(rounds: Sequence[Round]) -> NextStep | None:
    """Asked after `_label`: whatever still runs has all its answers."""
    done = [
        item.plan
        for item in rounds
        if item.state in ("open", "collecting")
        or (item.state == "closed" and item.plan.kind not in RIDERS)
    ]
    if not done:
        return None
    return NextStep(
        what="Judge the answers and close the round",
        why=f"All answers of {done[-1].kind} round {done[-1].round_id} are in.",
        command="retrue run close-round",
    )


def _train(decisions: Sequence[Decision]) -> NextStep | None:
    decided = [whole(made.data, "version") or 0 for made in decisions if made.kind == "version"]
    tried = [whole(made.data, "dataset_version") or 0 for made in decisions if made.kind == "gate"]
    newest = max(decided, default=0)
    if newest <= max(tried, default=0):
        return None
    return NextStep(
        what=f"Train a challenger on dataset v{newest}",
        why="No model has seen this version yet.",
        command="retrue run retrain",
    )


def _begin(rounds: Sequence[Round]) -> NextStep | None:
    if rounds:
        return None
    return NextStep(
        what="Start the loop",
        why="No round was planned yet: the first run looks at the data and plans one.",
        command="retrue run cycle",
    )


def _save(repo: RepoState) -> NextStep | None:
    if repo.remote is None or not (repo.unpushed or repo.unrecorded):
        return None
    return NextStep(
        what="Push what is only on this machine",
        why=f"{repo.unpushed} commits and {len(repo.unrecorded)} files are on no remote.",
        command="retrue collect --push",
    )
