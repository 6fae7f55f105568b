"""Every error retrue raises. The first line says what the caller should do.

A message says where, what was expected, what was got, and what to do about it.

    RetrueError
    ├── TransientError        wait and call again
    │   ├── ServiceUnavailable
    │   ├── LeaseHeld
    │   └── LeaseLost
    └── TerminalError         a person must act
        ├── ConfigError
        ├── WorkspaceError
        ├── StoreError
        │   ├── ObjectGone
        │   └── UnreadableObject
        ├── QueueError
        ├── RecordError
        ├── RepoError
        ├── ModelError
        ├── TrainingError
        └── StackError
"""

from __future__ import annotations

from retrue.secrecy import without_secrets

__all__ = [
    "ConfigError",
    "LeaseHeld",
    "LeaseLost",
    "ModelError",
    "ObjectGone",
    "QueueError",
    "RecordError",
    "RepoError",
    "RetrueError",
    "ServiceUnavailable",
    "StackError",
    "StoreError",
    "TerminalError",
    "TrainingError",
    "TransientError",
    "UnreadableObject",
    "WorkspaceError",
]


class RetrueError(Exception):
    """The root of every error retrue raises; its message holds no secret, whoever shows it."""

    def __init__(self, *said: object) -> None:
        """Blot secrets out of what is said."""
        super().__init__(*(without_secrets(str(one)) for one in said))


class TransientError(RetrueError):
    """Wait and call again."""


class TerminalError(RetrueError):
    """A person must act; calling again changes nothing."""


class ServiceUnavailable(TransientError):
    """A service did not answer, or its answer was cut: what it did is not known."""


class LeaseHeld(TransientError):
    """Another process is writing; it will finish or its lease will expire."""


class LeaseLost(TransientError):
    """Our lease expired and another process took over; run the step again."""


class ConfigError(TerminalError):
    """The configuration is wrong; the message lists every mistake with its path."""


class WorkspaceError(TerminalError):
    """This folder is not a workspace, or something it needs is missing."""


class StoreError(TerminalError):
    """An object store refused: missing bucket, no permission, a path outside its root."""


class ObjectGone(StoreError):
    """The object, or the version that was listed, is no longer there: deleted or written over."""


class UnreadableObject(StoreError):
    """The object's bytes are not what its name says; it is read again when it changes."""


class QueueError(TerminalError):
    """The annotation queue refused, or holds something we did not put there."""


class RecordError(TerminalError):
    """A record on disk is damaged, or would be written twice with different content."""


class RepoError(TerminalError):
    """git or DVC refused: what was asked is in the message, with its last words."""


class ModelError(TerminalError):
    """The model registry has no such model, or the model cannot be trusted."""


class TrainingError(TerminalError):
    """Training or scoring failed, or wrote something else than was promised."""


class StackError(TerminalError):
    """The local stack cannot start: a port or folder of somebody else, a program that failed."""
