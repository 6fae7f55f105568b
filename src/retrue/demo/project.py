"""The demo's workspace: its configuration, and a throw-away folder for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from retrue import stack
from retrue.demo.world import NEW_CLASS
from retrue.errors import WorkspaceError

__all__ = ["add_class", "fresh_folder", "project_config", "write_workspace"]

MARK = ".retrue-demo"  # only a folder with this file in it is ever thrown away
NAME = "digits"
FIRST_CLASSES = tuple(str(digit) for digit in range(9))
LABELS: dict[str, object] = {
    "version": 1,
    "kind": "choice",
    "question": "Which digit is this?",
    "classes": list(FIRST_CLASSES),
    "guideline": {
        "version": "1",
        "text": "Pick the digit you see. If it is none of them, say so: none_of_these.",
    },
}


def project_config(
    uri: str,
    *,
    queue: Mapping[str, object],
    store: Mapping[str, object],
    first_round: int = 600,
) -> dict[str, object]:
    """What is written to `configs/project.yaml`.

    Args:
        uri: Where the application keeps its objects, without a slash at the end.
        queue: The section `queue`: where people answer, and who they are.
        store: The section `store`: where versions and the ledger go.
        first_round: Samples that people are asked about first.
    """
    return {
        "version": 1,
        "project": NAME,
        "data": {
            "kind": "image",
            "display": [],  # the picture says it all
            "incoming": {"uri": f"{uri}/incoming", "key": "image_id"},
            "inference": {
                "uri": f"{uri}/log",
                "key": "image_id",
                "time": "taken_at",
                "media": "path",
                "media_root": f"{uri}/pictures",
                "probabilities": "p_*",
                "model_version": "model_version",
            },
        },
        "labels": {"answers_per_item": {"train": 1, "audit": 2}},
        "queue": dict(queue),
        "drift": {"probe": {"labels": 40, "max": 120}},
        "select": {
            "budget": 200,
            "bootstrap": first_round,
            "bootstrap_audit": 0.5,
            "shares": {"audit": 0.2, "random": 0.1, "active": 0.5, "novel": 0.2},
            "caps": {"month": 3000, "cost_per_label": "0.03 EUR"},
        },
        "validate": {"min_confidence": 0.8},
        "round": {"open": "auto"},
        "model": {"promote": "auto"},
        "store": dict(store),
    }


def fresh_folder(root: Path, *, say: Callable[[str], None]) -> None:
    """Make `root` anew; an earlier demo there is thrown away, with its stack if it has one.

    Raises:
        WorkspaceError: It holds something that is not a demo.
        StackError: Its stack cannot be stopped.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / MARK).is_file():
            raise WorkspaceError(
                f"{root}: expected an empty folder or an earlier demo, found other files. "
                "Name another folder with --dir."
            )
        stack.reset(root, say=say)
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).touch()


def write_workspace(root: Path, project: object) -> None:
    """Make the workspace and commit the demo's question.

    Raises:
        RepoError: git or DVC refused.
    """
    from retrue.adapters.git import Git
    from retrue.initialising import make_workspace

    # A repository of its own, wherever the folder is: the demo must not write into another one.
    git = Git(root)
    git("init", "-b", "main")
    make_workspace(root, project=NAME)
    _write_yaml(root / "configs" / "project.yaml", project)
    _write_yaml(root / "configs" / "labels.yaml", LABELS)
    nobody = ["-c", "user.name=retrue", "-c", "user.email=retrue@localhost"]
    git(*nobody, "commit", "-a", "-m", "The demo's question")


def add_class(root: Path) -> None:
    """What a person does when the probe found a class the schema does not have."""
    labels = {
        **LABELS,
        "version": 2,
        "classes": [*FIRST_CLASSES, NEW_CLASS],
        "migrations": [{"to": 2, "op": "add", "target": [NEW_CLASS]}],
    }
    _write_yaml(root / "configs" / "labels.yaml", labels)


def _write_yaml(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")
