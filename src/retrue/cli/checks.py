"""Is everything in place? Each check says ok, or exactly what to do. No network, no services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from retrue.adapters.examining import Check
from retrue.config import PROJECT_FILE, Config, Labels, load_config, load_labels, refuse_unset
from retrue.errors import RetrueError, WorkspaceError

__all__ = ["Check", "check_workspace"]

FILES = ("dvc.yaml", "flows/cycle.py")
IGNORED = (".retrue/x", "data/rounds/x", "data/decisions/x", "data/dataset/x", "model/x")
ResultT = TypeVar("ResultT")


def check_workspace(root: Path) -> list[Check]:
    """Look at everything that can be seen offline; what rests on a wrong file is left out."""
    config, found = _attempt(
        PROJECT_FILE.as_posix(), lambda: load_config(root), lambda it: f"project {it.project}"
    )
    checks = [found]
    if config is not None:
        checks.append(_variables(root))
        name = config.labels.file.as_posix()
        labels, found = _attempt(name, lambda: load_labels(root, config), _question)
        checks += [found, *_streams(root, config), _identity(root, config), _ledger(root, config)]
        checks += [_schema(root, labels)] if labels is not None else []
        if labels is not None and config.queue.page is not None:
            checks.append(_page(root, config, labels))
    return [*checks, *(_file(root, name) for name in FILES), _git(root), _dvc(root)]


def _attempt(
    name: str, do: Callable[[], ResultT], say: Callable[[ResultT], str]
) -> tuple[ResultT | None, Check]:
    try:
        result = do()
    except RetrueError as error:
        return None, Check(name=name, ok=False, detail=str(error))
    return result, Check(name=name, ok=True, detail=say(result))


def _variables(root: Path) -> Check:
    _, found = _attempt("variables", lambda: refuse_unset(root), lambda _: "nothing is missing")
    return found


def _question(labels: Labels) -> str:
    size = "" if labels.kind == "number" else f" of {len(labels.classes)}"
    return f"{labels.kind}{size}, version {labels.version}"


def _streams(root: Path, config: Config) -> list[Check]:
    checks: list[Check] = []
    for name in ("incoming", "inference"):
        stream = config.data.incoming if name == "incoming" else config.data.inference
        if stream is None:
            continue
        uri = stream.uri
        remote = "://" in uri and not uri.startswith("file://")
        there = remote or (root / uri.removeprefix("file://")).exists()
        detail = f"{uri} (`retrue doctor` asks it)" if remote else uri
        if not there:
            detail = f"{uri}: expected a folder, found none. Make it, or correct data.{name}.uri."
        checks.append(Check(name=f"data.{name}", ok=there, detail=detail))
    return checks


def _identity(root: Path, config: Config) -> Check:
    """Whether samples keep the ids they have."""
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.reading.identity import other_identities

    wrong, found = _attempt(
        "identity",
        lambda: other_identities(config, FileRoundRecord(root / "data")),
        lambda _: "samples keep their ids",
    )
    return Check(name="identity", ok=False, detail=" ".join(wrong)) if wrong else found


def _ledger(root: Path, config: Config) -> Check:
    from retrue.wiring import STATE_DIR, ledger_url

    if config.store.ledger is not None:
        return Check(name="ledger", ok=True, detail="a database (`retrue doctor` asks it)")
    if not (root / STATE_DIR / "ledger.sqlite").exists():
        return Check(name="ledger", ok=True, detail="not there yet; the first step makes it")

    from retrue.adapters.state_sql import open_ledger

    def look() -> str:
        state = open_ledger(ledger_url(root, config), workspace=config.project)
        return ", ".join(state.pending_migrations())

    pending, found = _attempt("ledger", look, lambda _: "up to date")
    if pending:
        detail = f"needs {pending}. Run `retrue ledger upgrade`."
        return Check(name="ledger", ok=False, detail=detail)
    return found


def _schema(root: Path, labels: Labels) -> Check:
    """Whether labels.yaml contradicts the schema that stored labels were given under."""
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.reading.schemas import recorded_schema, schema_digest

    recorded, found = _attempt(
        "label schema",
        lambda: recorded_schema(FileRoundRecord(root / "data")),
        lambda it: f"version {it.version} was applied" if it else "none was applied yet",
    )
    if recorded is None or labels.version > recorded.version:
        return found
    if labels.version < recorded.version:
        detail = f"expected at least version {recorded.version}, got {labels.version}."
    elif schema_digest(labels) != recorded.digest:
        detail = (
            f"version {recorded.version} was applied and has changed since. Raise it to "
            f"{recorded.version + 1}, and say in `migrations` what became of each class."
        )
    else:
        return found
    return Check(name="label schema", ok=False, detail=f"{detail} `retrue schema plan` tells more.")


def _page(root: Path, config: Config, labels: Labels) -> Check:
    from retrue.adapters.label_studio_config import build_page, page_of

    name = str(config.queue.page)
    _, found = _attempt(
        name, lambda: build_page(labels, page_of(root, config)), lambda _: "asks what labels say"
    )
    return found


def _file(root: Path, name: str) -> Check:
    there = (root / name).is_file()
    missing = "expected this file, found none. Copy it from a new workspace (`retrue init DIR`)."
    return Check(name=name, ok=there, detail="there" if there else missing)


def _git(root: Path) -> Check:
    """A git repository with a commit, which ignores what retrue tracks itself."""
    from retrue.adapters.git import Git

    git = Git(root)

    def look() -> list[str]:
        git("rev-parse", "--show-prefix")
        if git.find("rev-parse", "--verify", "--quiet", "HEAD") is None:
            raise WorkspaceError("expected a first commit, found none: `git commit` the workspace.")
        ignored = (git.find("check-ignore", "--", *IGNORED) or "").splitlines()
        return [name.removesuffix("/x") for name in IGNORED if name not in ignored]

    seen, found = _attempt("git", look, lambda _: "a repository; records and models are ignored")
    if seen:
        detail = f"expected these in .gitignore: {', '.join(f'/{name}/' for name in seen)}"
        return Check(name="git", ok=False, detail=detail)
    if not found.ok:
        return Check(name="git", ok=False, detail=f"{found.detail}\n  Run `git init` and commit.")
    return found


def _dvc(root: Path) -> Check:
    there = (root / ".dvc/config").is_file()
    missing = "expected .dvc/config, found none. Run `dvc init` (`--subdir` in a monorepo)."
    return Check(name="dvc", ok=there, detail="a project" if there else missing)
