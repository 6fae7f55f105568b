"""The data branch and the version tags, here and on the git remote, moved by compare-and-set."""

from __future__ import annotations

import re
from collections.abc import Callable

from retrue.adapters.worktree import Base, Worktree
from retrue.config import Store
from retrue.errors import RepoError, ServiceUnavailable, TransientError

__all__ = ["Refs"]

_NONE = "0" * 40


class Refs:
    """The refs of one project.

    Args:
        tree: Where commits are made.
        store: Names of the remote and the branch.
        project: Tags are `<project>/dataset/vN`, and `…/vN+eK` after an erasure.
        seconds: Time limit for fetching and pushing.
    """

    def __init__(self, tree: Worktree, store: Store, project: str, seconds: float) -> None:
        self._tree = tree
        self._git = tree.person
        self._remote = store.git_remote
        self._branch = tree.ref
        self._tracking = f"refs/remotes/{store.git_remote}/{store.branch}"
        self._tags = f"refs/tags/{project}/dataset/"
        self._seconds = seconds

    def name(self, version: int) -> str:
        """The tag of a version."""
        return f"{self._tags}v{version}"

    def tags(self) -> dict[int, str]:
        """Version -> its tag, the one of the latest erasure where there is one."""
        found: dict[int, tuple[int, str]] = {}
        for tag in self._git("for-each-ref", "--format=%(refname)", self._tags).splitlines():
            parts = re.fullmatch(r"v(\d+)(?:\+e(\d+))?", tag.removeprefix(self._tags))
            if parts:
                version, erasure = int(parts[1]), int(parts[2] or 0)
                found[version] = max(found.get(version, (-1, "")), (erasure, tag))
        return {version: tag for version, (_, tag) in found.items()}

    def remote(self) -> str | None:
        """The name of the git remote, None if there is none of that name."""
        there = self._git.find("config", "--get", f"remote.{self._remote}.url")
        return self._remote if there else None

    def tip(self) -> str | None:
        """The newest commit of the data branch that this machine knows.

        Raises:
            RepoError: Branch and remote went separate ways.
        """
        local = self._oid(self._branch)
        remote = self._oid(self._tracking) if self.remote() else None
        if local is None or remote is None:
            return local or remote
        if self._git.is_ancestor(local, remote):
            return remote
        if self._git.is_ancestor(remote, local):
            return local
        branch = self._branch.removeprefix("refs/heads/")
        raise RepoError(
            f"{branch}: expected one line of commits, but here ({local[:12]}) and at "
            f"{self._remote} ({remote[:12]}) it went separate ways. Records are on the disk in any "
            f"case: `git branch -m {branch} {branch}-old` and run the step again."
        )

    def unpushed(self) -> int:
        """Commits of the data branch that are on no branch of the remote; 0 without a remote."""
        local = self._oid(self._branch)
        if local is None or self.remote() is None:
            return 0
        return int(self._git("rev-list", "--count", local, "--not", f"--remotes={self._remote}"))

    def look(self) -> Base:
        """Ask the remote, fetch what is new of ours, and say what a commit starts from.

        Raises:
            RepoError: The repository has no commit, or a tag differs here and there.
            ServiceUnavailable: The remote does not answer.
        """
        head = self._oid("HEAD")
        if head is None:
            raise RepoError(
                "expected a repository with a commit, found none. Commit your workspace first: "
                '`git add . && git commit -m "A workspace"`.'
            )
        there = self._remote_refs()
        new = [
            f"{'+' if ours == self._tracking else ''}{ref}:{ours}"
            for ref, oid in there.items()
            if self._oid(ours := self._tracking if ref == self._branch else ref) != oid
        ]
        if new:
            self._git(
                "fetch",
                "--no-tags",
                "--no-write-fetch-head",
                self._remote,
                *new,
                timeout=self._seconds,
            )
        return Base(
            head=head,
            tip=self.tip(),
            local=self._oid(self._branch),
            remote=there.get(self._branch),
            remote_tags=frozenset(ref for ref in there if ref.startswith(self._tags)),
        )

    def publish(
        self, commit: str, base: Base, *, tag: str | None, before: Callable[[], None]
    ) -> None:
        """Move branch and tags to where they belong: on the remote first, then here.

        Args:
            commit: The branch's next tip.
            base: What `look` found; where a ref is elsewhere by now, nothing is moved.
            tag: Full name of a tag to make on the commit.
            before: Called just before the first effect; raises to stop it.

        Raises:
            TransientError: A ref had moved; nothing was changed.
            ServiceUnavailable: The remote did not answer; what it did is seen by the next `look`.
        """
        here = dict(self._here())
        made = {tag: self._tag_object(commit, tag)} if tag else {}
        updates: list[str] = []
        if base.local != commit:
            updates.append(f"update {self._branch} {commit} {base.local or _NONE}")
        updates += [f"create {ref} {oid}" for ref, oid in made.items()]
        before()
        if self.remote():
            self._push(commit, base, here | made)
            updates.append(f"update {self._tracking} {commit}")
        lines = ["start", *updates, "prepare", "commit", ""]
        self._git("update-ref", "--stdin", stdin="\n".join(lines))
        self._tree.git("update-ref", "--no-deref", "HEAD", commit)

    def _push(self, commit: str, base: Base, tags: dict[str, str]) -> None:
        new = [f"{oid}:{ref}" for ref, oid in tags.items() if ref not in base.remote_tags]
        if base.remote != commit:
            new.append(f"{commit}:{self._branch}")
        if not new:
            return
        try:
            self._git("push", "--atomic", "--no-verify", self._remote, *new, timeout=self._seconds)
        except ServiceUnavailable:
            raise
        except TransientError as error:
            branch = self._branch.removeprefix("refs/heads/")
            raise TransientError(
                f"{branch}: the branch or a tag moved at {self._remote} while this step ran, so "
                f"nothing was changed there or here. Run the step again. ({error})"
            ) from error

    def _tag_object(self, commit: str, tag: str) -> str:
        """An annotated tag that no ref names yet."""
        who = self._git(*self._tree.identity(), "var", "GIT_COMMITTER_IDENT")
        name = tag.removeprefix("refs/tags/")
        text = f"object {commit}\ntype commit\ntag {name}\ntagger {who}\n\n{name}\n"
        return self._git("mktag", stdin=text)

    def _here(self) -> list[tuple[str, str]]:
        listed = self._git("for-each-ref", "--format=%(objectname) %(refname)", self._tags)
        pairs = (line.split(" ", 1) for line in listed.splitlines())
        return [(ref, oid) for oid, ref in pairs]

    def _remote_refs(self) -> dict[str, str]:
        if self.remote() is None:
            return {}
        listed = self._git(
            "ls-remote", "--refs", self._remote, self._branch, f"{self._tags}*", timeout=120.0
        )
        pairs = (line.split("\t", 1) for line in listed.splitlines())
        return {ref: oid for oid, ref in pairs}

    def _oid(self, ref: str) -> str | None:
        return self._git.find("rev-parse", "--verify", "--quiet", ref)
