"""`retrue demo --stack`: the same story on real services, which run on this machine.

Pictures and logs are objects in S3, people answer in Label Studio, models live on the MLflow
server, the ledger is in PostgreSQL, and in the last week what follows people's answers is a Prefect
flow run. The clock is the real one: S3 and Label Studio put their own times on what they keep, so
five weeks are told in minutes, and nothing is dated back.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from retrue.cycle import close_rounds
from retrue.demo.accounts import Account, sign_up
from retrue.demo.annotators import StudioPeople, projects_of
from retrue.demo.by_flow import close_by_flow
from retrue.demo.places import Place, make_bucket
from retrue.demo.project import fresh_folder, project_config
from retrue.demo.screen import DemoRun
from retrue.demo.story import Say, Setting, open_first_round, tell_story
from retrue.demo.world import ANNOTATORS, SEED, World, make_world
from retrue.stack import Stack, up
from retrue.wiring import clock, quiet_telemetry

__all__ = ["Asked", "Told", "ask_people", "tell_on_stack"]

BUCKET, VERSIONS = "digits", "digits-dvc"
OF_OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN")  # they would go with keys that are not the stack's
EMAILS = {person.name: f"{person.name.lower()}@example.com" for person in ANNOTATORS}
ONE_SITTING = 60  # samples of a first round for real people: 90 answers, some minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story on the stack, which runs on."""

    run: DemoRun
    stack: Stack
    logins: Path  # e-mail and password of each annotator, readable by this user alone
    page: str  # a project in Label Studio, with its tasks and answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A first round that waits for people."""

    stack: Stack
    logins: Path  # as above
    answers: int  # that are asked
    pages: tuple[str, ...]  # where to answer: one per project with open tasks


def tell_on_stack(root: Path, *, say: Say) -> Told:
    """Start a stack in `root` and let the story happen on it.

    This process takes the stack's environment, whatever it had by the same names.

    Args:
        root: Made anew; an earlier demo there is thrown away with its stack.
        say: Told what is going on, from several threads.

    Raises:
        WorkspaceError: `root` holds something that is not a demo.
        StackError: The stack does not start.
    """
    stack, logins, accounts = _stage(root, say)
    world = make_world(seed=SEED)
    setting = _setting(root, accounts, world, say)
    run = tell_story(root, world, setting, say=say)
    return Told(run=run, stack=stack, logins=logins, page=_pages(accounts)[0])


def ask_people(root: Path, *, say: Say) -> Asked:
    """The story up to its first round, a small one, which is left to people.

    Arguments and errors as `tell_on_stack`.
    """
    _, logins, accounts = _stage(root, say)
    world = make_world(seed=SEED)
    setting = _setting(root, accounts, world, say, first_round=ONE_SITTING)
    opening = open_first_round(root, world, setting, say=say)
    return Asked(
        stack=up(root, say=say),  # now there are flows: their schedules bring answers home
        logins=logins,
        answers=sum(made.answers for made in opening.select.planned),
        pages=tuple(f"{page}?labeling=1" for page in _pages(accounts)),
    )


def _stage(root: Path, say: Say) -> tuple[Stack, Path, dict[str, Account]]:
    """A fresh folder with a stack, and accounts in its Label Studio by the annotators' names."""
    quiet_telemetry()
    fresh_folder(root, say=say)
    stack = up(root, say=say, schedules=False)  # there is no workspace yet
    for name in OF_OTHERS:
        os.environ.pop(name, None)
    os.environ.update(stack.environment)
    say("three people sign up in Label Studio")
    passwords = {email: secrets.token_urlsafe(12) for email in EMAILS.values()}
    logins = _keep(stack.folder / "annotators.txt", passwords)
    url, token = os.environ["LABEL_STUDIO_URL"], os.environ["LABEL_STUDIO_API_KEY"]
    accounts = sign_up(url, token, passwords)
    return stack, logins, {name: accounts[email] for name, email in EMAILS.items()}


def _pages(accounts: Mapping[str, Account]) -> list[str]:
    """The data pages of the crowd's projects, as the annotators see them."""
    client = next(iter(accounts.values())).client
    url = os.environ["LABEL_STUDIO_URL"]
    return [f"{url}/projects/{project.id}/data" for project in projects_of(client, "crowd")]


def _keep(file: Path, passwords: Mapping[str, str]) -> Path:
    file.touch(mode=0o600)
    file.write_text("".join(f"{email}  {word}\n" for email, word in passwords.items()), "utf-8")
    return file


def _setting(
    root: Path, accounts: Mapping[str, Account], world: World, say: Say, *, first_round: int = 600
) -> Setting:
    place, versions = make_bucket(BUCKET), make_bucket(VERSIONS)
    return Setting(
        project=_project(place, versions, first_round),
        place=place,
        people=StudioPeople(
            accounts=accounts, annotators=ANNOTATORS, seen=world.seen(), seed=str(SEED), say=say
        ),
        clock=_RealClock(),
        close=lambda workspace, at: close_rounds(workspace, now=at),
        close_last_week=lambda _workspace, _at: close_by_flow(root),
    )


def _project(place: Place, versions: Place, first_round: int) -> dict[str, object]:
    groups: dict[str, list[str]] = {}
    for person in ANNOTATORS:
        groups.setdefault(person.group, []).append(EMAILS[person.name])
    return project_config(
        place.uri,
        queue={"use": "label_studio", "annotators": groups},
        store={"ledger": "${RETRUE_LEDGER}", "dvc_remote": versions.uri},
        first_round=first_round,
    )


class _RealClock:
    """Nobody waits: the services look at the real time."""

    def now(self) -> datetime:
        return clock()

    def wait(self, time: timedelta) -> None:
        """Let the story go on at once."""
