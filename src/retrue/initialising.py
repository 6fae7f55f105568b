"""A new workspace: the template's files in a git repository that is a DVC project as well."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Literal

import retrue
from retrue.config import PROJECT_FILE, Config, load_config
from retrue.errors import WorkspaceError

__all__ = ["Kind", "make_workspace", "template_file"]

Kind = Literal["table", "text", "image"]
SHARED = ("dvc.yaml", "prefect.yaml")
PACKAGE = Path(retrue.__file__).parent


def template_file(name: str) -> Path:
    """A file or folder of the template, by its path in a workspace.

    A wheel carries the template in the package; in a checkout it is the repository's root.

    Raises:
        WorkspaceError: The installation is broken.
    """
    for top in (PACKAGE / "template", PACKAGE.parents[1]):
        if (top / name).exists():
            return top / name
    raise WorkspaceError(f"template {name}: expected it in the package, found none. Install anew.")


def make_workspace(
    root: Path, *, kind: Kind | None = None, project: str | None = None, example: bool = False
) -> Config:
    """Copy the template into a folder, make it a git repository and DVC project, commit it.

    Args:
        root: Absent, empty, or in a git repository and without a workspace yet.
        kind: Start from the example configuration of this kind; None: from the commented one.
        project: The project's name; None: made from the folder's name.
        example: Bring small example data, of kind table if none is named.

    Returns:
        The configuration as it was written.

    Raises:
        WorkspaceError: The folder holds something else, or a workspace.
        ConfigError: The project's name does not fit.
        RepoError: git or DVC refused.
    """
    from retrue.adapters.repo_init import init_repo

    _must_be_free(root)
    kind = kind or ("table" if example else None)
    root.mkdir(parents=True, exist_ok=True)
    copied = _copy(root, kind)
    _ignore(root / ".gitignore")
    name = project or _name_of(root)
    _name(root / PROJECT_FILE, "project: ", name)
    _name(root / "prefect.yaml", "name: &project ", name)
    config = load_config(root)
    for stream in (config.data.incoming, config.data.inference):
        if stream is not None and "://" not in stream.uri:
            (root / stream.uri).mkdir(parents=True, exist_ok=True)
    if example and kind is not None:
        from retrue.example_data import write_example

        write_example(kind, root / "incoming")
    init_repo(root)
    _commit(root, [*copied, ".gitignore", ".dvc", ".dvcignore"], config.project)
    return config


def _must_be_free(root: Path) -> None:
    if (root / PROJECT_FILE).exists():
        raise WorkspaceError(f"{root}: expected no workspace there, found {PROJECT_FILE}.")
    if root.exists() and not root.is_dir():
        raise WorkspaceError(f"{root}: expected a folder, found a file.")
    full = root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir())
    if full and not any((top / ".git").exists() for top in (root, *root.resolve().parents)):
        raise WorkspaceError(
            f"{root}: expected an empty folder or a git repository, found other files. "
            "Name another folder, or run `git init` there first."
        )


def _copy(root: Path, kind: Kind | None) -> list[str]:
    """Copy the template's files; those that are there stay. Returns their names."""
    source = {
        "configs/project.yaml": f"configs/examples/{kind}.yaml" if kind else "configs/project.yaml",
        "configs/labels.yaml": (
            f"configs/examples/{kind}-labels.yaml" if kind else "configs/labels.yaml"
        ),
    }
    names = {name: template_file(path) for name, path in source.items()}
    names |= {name: template_file(name) for name in SHARED}
    names |= {f"flows/{path.name}": path for path in sorted(template_file("flows").glob("*.py"))}
    names["README.md"] = PACKAGE / "template/README.md"
    for name, path in names.items():
        target = root / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return list(names)


def _ignore(path: Path) -> None:
    """Add the lines of the template's .gitignore that are not there yet."""
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    wanted = (PACKAGE / "template/gitignore").read_text(encoding="utf-8").splitlines()
    lines = there.splitlines()
    lines += [line for line in wanted if line not in lines]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _commit(root: Path, names: list[str], project: str) -> None:
    from retrue.adapters.git import Git

    git = Git(root)
    nobody = ["-c", "user.name=retrue", "-c", "user.email=retrue@localhost"]
    identity = [] if git.find("config", "user.email") else nobody
    git("add", "--", *names)
    git(*identity, "commit", "-m", f"Start the workspace {project}", "--", *names)


def _name(path: Path, key: str, project: str) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.sub(rf"(?m)^{re.escape(key)}\S+", f"{key}{project}", text)
    path.write_text(named, encoding="utf-8")


def _name_of(root: Path) -> str:
    """A project's name from the folder's: `My Loop!` -> `my-loop`."""
    name = re.sub(r"[^a-z0-9_-]+", "-", root.resolve().name.lower()).strip("-_")
    return name[:40] or "project"
