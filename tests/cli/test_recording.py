"""`record_progress`: what happened is committed, once."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from retrue.adapters.models_memory import MemoryModels
from retrue.adapters.notify_webhook import Silent
from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.adapters.repo_memory import MemoryRepo
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.adapters.store_memory import MemoryStore
from retrue.config import Config, Labels
from retrue.recording import record_progress
from retrue.workspace import Workspace

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUCKET = "memory://bucket"


def a_workspace(folder: Path) -> Workspace:
    """In memory; nothing here ever builds or trains."""
    raw = {"project": "points", "data": {"kind": "table", "incoming": {"uri": BUCKET}}}
    config = Config.model_validate(raw)
    labels = Labels.model_validate({"kind": "choice", "classes": ["left", "right"]})
    records, state = MemoryRoundRecord(), MemoryWorkingState()
    return Workspace(
        root=folder,
        config=config,
        labels=labels,
        store=MemoryStore([BUCKET]),
        queue=MemoryQueue(),
        records=records,
        state=state,
        repo=MemoryRepo(
            "points",
            place=folder,
            records=lambda: [made.decision_id for made in records.decisions()],
            build=never,
            fit=never,
            check=state.check_lease,
        ),
        models=MemoryModels(folder, config, labels),
        notify=Silent(),
        holder="test",
    )


def never(folder: Path) -> NoReturn:
    raise AssertionError(f"a stage ran in {folder}")


def test_what_happened_is_recorded(tmp_path: Path):
    workspace = a_workspace(tmp_path)
    workspace.decide("round-opened", "r1", now=NOON, data={"round": "r1"})

    commit = record_progress(workspace, "Open r1", now=NOON)

    assert commit == workspace.repo.state().branch_tip
    assert workspace.repo.state().unrecorded == ()


def test_nothing_new_waits_for_nobody(tmp_path: Path):
    workspace = a_workspace(tmp_path)
    workspace.decide("round-opened", "r1", now=NOON, data={"round": "r1"})
    first = record_progress(workspace, "Open r1", now=NOON)

    with replace(workspace, holder="a build elsewhere").lease("version", now=NOON):
        again = record_progress(workspace, "Open r1 once more", now=NOON)

    assert again == first


def test_an_untouched_workspace_has_nothing_to_record(tmp_path: Path):
    workspace = a_workspace(tmp_path)

    assert record_progress(workspace, "Nothing", now=NOON) == ""
