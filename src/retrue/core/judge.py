"""From what people said about samples to verdicts, and to how far each person can be trusted.

Pure: ballots in, judgements out. The statistics are `consensus` and `annotators`; here are the
rules of the house: audit items need two people who agree, an adjudicator's word is final, a label
nobody can be sure of is disputed, and nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrue.core.annotators import Skill, below_floor, skill, too_fast
from retrue.core.consensus import consensus, numeric_consensus
from retrue.core.dawid_skene import dawid_skene
from retrue.core.one_coin import one_coin_skills
from retrue.core.votes import Floats, Ints
from retrue.kinds import CANNOT_TELL, NONE_OF_THESE, LabelSchema, kind_of
from retrue.records import AnnotatorGroup, VerdictStatus

__all__ = [
    "AnnotatorReport",
    "Ballot",
    "Judgement",
    "Vote",
    "judge",
    "none_of_these",
    "rate_annotators",
]

ASSUMED_SKILL = 0.85  # of people whom nothing was ever compared with
SEED = 0  # of the draws behind a report about people: the same answers give the same report
SKILL_ANSWERS = 10.0  # answers the crowd's mean skill is worth in one person's


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's last word on one sample."""

    annotator: str
    group: AnnotatorGroup
    label: str | None  # canonical JSON; None: skipped, or outside the schema
    problem: str  # why `label` is None; "" otherwise
    lead_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """Everything said about one sample."""

    sample_id: str
    votes: tuple[Vote, ...]  # in order of observation
    complete: bool  # every question about it has the answers it wants
    people_only: bool  # audit and gold: no model has a say, two people must agree
    predicted: str | None  # the model's label before anybody answered
    predicted_probability: float | None
    overdue: bool  # no further answer is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the ballots of one sample amount to; None-status samples wait for more answers."""

    sample_id: str
    label: str | None  # canonical JSON when accepted
    confidence: float  # 0..1, 4 decimals
    n_answers: int
    status: VerdictStatus
    method: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorReport:
    """How far one person's answers can be trusted, judged by the others'."""

    annotator: str
    answers: int
    skill: Skill  # chance of being right, judged where others answered too
    below_floor: bool  # even the upper bound is under the floor
    too_fast: int  # answers faster than a person can look
    median_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Said:
    """The votes that carry a label, as arrays."""

    task: Ints
    worker: Ints
    names: tuple[str, ...]
    labels: tuple[str, ...]


def judge(
    ballots: Sequence[Ballot],
    schema: LabelSchema,
    *,
    min_confidence: float,
    rng: np.random.Generator,
) -> list[Judgement]:
    """Judge every sample whose answers are in; samples still waiting are left out.

    Args:
        ballots: One per sample; all samples ever asked, so that people are known by all they said.
        schema: The label schema the votes are written in.
        min_confidence: Below it a training label is disputed, 0..1.
        rng: Breaks ties.

    Returns:
        One judgement per sample that has the answers it wants, or is overdue.
    """
    found = _judgements(ballots, schema, min_confidence, rng)
    return [one for one in found if one is not None]


def rate_annotators(
    ballots: Sequence[Ballot], schema: LabelSchema, *, floor: float, fastest: float
) -> list[AnnotatorReport]:
    """One report per person, worst first; number labels give pace only (skill over 0 answers).

    Args:
        ballots: All ballots.
        schema: Their schema.
        floor: Skill under which a person is named, 0..1.
        fastest: No honest answer is faster, in seconds.
    """
    votes = [vote for ballot in ballots for vote in ballot.votes]
    names = sorted({vote.annotator for vote in votes})
    place = {name: i for i, name in enumerate(names)}
    worker = np.array([place[vote.annotator] for vote in votes], dtype=np.int64)
    seconds = np.array([vote.lead_seconds or np.nan for vote in votes], dtype=float)
    hasty = too_fast(worker, seconds, shortest=fastest)
    skills = dict(zip(*_skills(ballots, schema), strict=True))
    reports: list[AnnotatorReport] = []
    for name, code in place.items():
        mine = worker == code
        known = seconds[mine & ~np.isnan(seconds)]
        found = skills.get(name, skill(0, 0))
        reports.append(
            AnnotatorReport(
                annotator=name,
                answers=int(mine.sum()),
                skill=found,
                below_floor=below_floor(found, floor),
                too_fast=int(hasty[mine].sum()),
                median_seconds=float(np.median(known)) if len(known) else None,
            )
        )
    return sorted(reports, key=lambda report: (report.skill.mean, report.annotator))


def _judgements(
    ballots: Sequence[Ballot],
    schema: LabelSchema,
    min_confidence: float,
    rng: np.random.Generator,
) -> list[Judgement | None]:
    kind = kind_of(schema)
    if kind.aggregate == "numeric":
        guesses = _numbers(ballots, schema)
    elif kind.aggregate == "multi":
        guesses = _choices(ballots, schema)
    else:
        guesses = _classes(ballots, schema, rng)
    return [
        _rule(ballot, guess, min_confidence) for ballot, guess in zip(ballots, guesses, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Guess:
    label: str | None  # None: nobody answered, or the answers make no label together
    confidence: float
    method: str
    share: float  # of the counted answers that say `label`, 0..1


def _rule(ballot: Ballot, guess: _Guess, min_confidence: float) -> Judgement | None:
    """The rules of the house for one sample."""
    counted = [vote for vote in ballot.votes if vote.label is not None]
    final = next((vote for vote in reversed(counted) if vote.group == "adjudicator"), None)
    if final is not None:
        return _judged(ballot, final.label, 1.0, "adjudicated")  # taken for the truth
    if not ballot.complete and not ballot.overdue:
        return None
    if not counted:
        reason = "; ".join(sorted({vote.problem for vote in ballot.votes})) or "no answer in time"
        status: VerdictStatus = "unanswerable" if ballot.votes else "missing"
        return _judgement(ballot, None, 0.0, status, "", reason)
    if ballot.people_only and len(counted) < 2:
        passed = f" and {len(ballot.votes) - 1} without a label" if len(ballot.votes) > 1 else ""
        reason = f"one answer{passed}, two are needed"
        return _judgement(ballot, None, 0.0, "disputed", guess.method, reason)
    if guess.label is None or (ballot.people_only and guess.share <= 0.5):
        return _judgement(ballot, None, guess.confidence, "disputed", guess.method, _split(counted))
    if not ballot.people_only and guess.confidence < min_confidence:
        reason = f"confidence {guess.confidence:.2f} is below {min_confidence:.2f}"
        return _judgement(ballot, None, guess.confidence, "disputed", guess.method, reason)
    return _judged(ballot, guess.label, guess.confidence, guess.method)


def _judged(ballot: Ballot, label: str | None, confidence: float, method: str) -> Judgement:
    if label in (f'"{CANNOT_TELL}"', f'["{CANNOT_TELL}"]'):  # of one class, of several
        return _judgement(ballot, None, confidence, "unanswerable", method, "people cannot tell")
    return _judgement(ballot, label, confidence, "accepted", method, "")


def _judgement(
    ballot: Ballot,
    label: str | None,
    confidence: float,
    status: VerdictStatus,
    method: str,
    reason: str,
) -> Judgement:
    return Judgement(
        sample_id=ballot.sample_id,
        label=label,
        confidence=round(confidence, 4),
        n_answers=sum(vote.label is not None for vote in ballot.votes),
        status=status,
        method=method,
        reason=reason,
    )


def _split(votes: Sequence[Vote]) -> str:
    return "people disagree: " + ", ".join(f"{vote.annotator} {vote.label}" for vote in votes)


def _said(ballots: Sequence[Ballot]) -> _Said:
    rows = [
        (task, vote.annotator, vote.label)
        for task, ballot in enumerate(ballots)
        for vote in ballot.votes
        if vote.label is not None
    ]
    names = tuple(sorted({name for _, name, _ in rows}))
    place = {name: i for i, name in enumerate(names)}
    return _Said(
        task=np.array([task for task, _, _ in rows], dtype=np.int64),
        worker=np.array([place[name] for _, name, _ in rows], dtype=np.int64),
        names=names,
        labels=tuple(label for _, _, label in rows),
    )


def _numbers(ballots: Sequence[Ballot], schema: LabelSchema) -> list[_Guess]:
    said, kind = _said(ballots), kind_of(schema)
    values = np.asarray(kind.to_classes(said.labels, schema), dtype=float)
    found = numeric_consensus(said.task, values, n_tasks=len(ballots), tolerance=schema.tolerance)
    labels = kind.from_classes(found.value, schema)
    return [
        _Guess(label, float(share), "median", float(share))
        for label, share in zip(labels, found.confidence, strict=True)
    ]


def _choices(ballots: Sequence[Ballot], schema: LabelSchema) -> list[_Guess]:
    """One yes-or-no question per option; the label is as sure as its least sure option."""
    said, kind = _said(ballots), kind_of(schema)
    picked = np.asarray(kind.to_classes(said.labels, schema), dtype=float)
    options = len(kind.options(schema))
    votes = np.zeros((len(ballots), options))
    np.add.at(votes, said.task, picked.reshape(-1, options))
    answers = np.bincount(said.task, minlength=len(ballots))
    share = votes / np.maximum(answers, 1)[:, None]
    yes = (share > 0.5).astype(np.int64)
    sure = np.maximum(share, 1 - share).min(axis=1)
    most = schema.max_choices or options
    guesses: list[_Guess] = []
    for row, confidence in zip(yes, sure, strict=True):
        # Options are counted one by one: together they may be more than an answer may hold.
        possible = 0 < row.sum() <= most
        label = kind.from_classes(row[None, :], schema)[0] if possible else None
        agreed = float(confidence) if label is not None else 0.0
        guesses.append(_Guess(label, agreed, "majority", agreed))
    return guesses


def _classes(
    ballots: Sequence[Ballot], schema: LabelSchema, rng: np.random.Generator
) -> list[_Guess]:
    said, kind = _said(ballots), kind_of(schema)
    n_classes = len(kind.options(schema))
    label = np.asarray(kind.to_classes(said.labels, schema), dtype=np.int64)
    found = consensus(
        said.task,
        said.worker,
        label,
        n_tasks=len(ballots),
        n_classes=n_classes,
        probabilities=_opinion(ballots, schema),
        people_only=np.array([ballot.people_only for ballot in ballots], dtype=bool),
        rng=rng,
    )
    coins = _one_coin(said, label, len(ballots), n_classes)
    votes = np.zeros((len(ballots), n_classes))
    np.add.at(votes, (said.task, label), 1.0)
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    names = kind.from_classes(found.label, schema)
    guesses: list[_Guess] = []
    for i, (name, winner) in enumerate(zip(names, found.label, strict=True)):
        # A share of votes is no probability: with one answer it is 1 whoever gave it.
        by_people = coins if found.method[i] == "majority" else found.posterior
        confidence = float(by_people[i, winner]) if winner >= 0 else 0.0
        share = float(shares[i, winner]) if winner >= 0 else 0.0
        guesses.append(_Guess(name, confidence, str(found.method[i]), share))
    return guesses


def _one_coin(said: _Said, label: Ints, n_tasks: int, n_classes: int) -> Floats:
    """P(class | answers) if each person is right with their own probability, wrong evenly.

    Naive Bayes with a flat prior over classes (Raykar 2010 with one coin per person).
    """
    right = np.clip(_coins(said, label, n_tasks, n_classes), 0.01, 0.99)
    wrong = (1 - right) / max(n_classes - 1, 1)
    logs = np.zeros((n_tasks, n_classes))
    np.add.at(logs, said.task, np.log(wrong[said.worker])[:, None])
    np.add.at(logs, (said.task, label), np.log(right / wrong)[said.worker])
    logs -= logs.max(axis=1, keepdims=True)
    odds = np.exp(logs)
    return odds / odds.sum(axis=1, keepdims=True)


def _coins(said: _Said, label: Ints, n_tasks: int, n_classes: int) -> Floats:
    """Each person's probability of being right, pulled to the crowd's mean."""
    right, asked = _rights(said, label, n_tasks, n_classes)
    crowd = right.sum() / asked.sum() if asked.sum() else ASSUMED_SKILL
    return (right + SKILL_ANSWERS * crowd) / (asked + SKILL_ANSWERS)


def _rights(
    said: _Said, label: Ints, n_tasks: int, n_classes: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Expected right answers of each person, and answers that could be judged.

    Judged by Dawid and Skene's posterior, on samples that somebody else answered too. Plain
    agreement would blame a good annotator for a bad partner; and which samples were asked again
    depends on answers that are all in the data, so the likelihood needs no correction (Rubin
    1976, missing at random).
    """
    n_workers = len(said.names)
    shared = np.bincount(said.task, minlength=n_tasks)[said.task] > 1
    if not shared.any():
        return np.zeros(n_workers), np.zeros(n_workers, dtype=np.int64)
    found = dawid_skene(
        said.task[shared],
        said.worker[shared],
        label[shared],
        n_tasks=n_tasks,
        n_workers=n_workers,
        n_classes=n_classes,
    )
    rightness = found.posterior[said.task[shared], label[shared]]
    right = np.zeros(n_workers)
    np.add.at(right, said.worker[shared], rightness)
    return right, np.bincount(said.worker[shared], minlength=n_workers).astype(np.int64)


def _skills(
    ballots: Sequence[Ballot], schema: LabelSchema
) -> tuple[tuple[str, ...], tuple[Skill, ...]]:
    said, kind = _said(ballots), kind_of(schema)
    if kind.aggregate == "numeric" or not said.labels:
        return (), ()
    # A whole answer counts as one class: of several options all must be right.
    label = np.unique(said.labels, return_inverse=True)[1].astype(np.int64)
    skills = one_coin_skills(
        said.task,
        said.worker,
        label,
        n_tasks=len(ballots),
        n_workers=len(said.names),
        rng=np.random.default_rng(SEED),
    )
    return said.names, skills


def _opinion(ballots: Sequence[Ballot], schema: LabelSchema) -> Floats | None:
    """The stored predictions as probabilities; None unless every open question has one.

    Only the winner's probability was stored; the rest is spread evenly. The model saw none of
    these samples in training: it predicted them before anybody was asked.
    """
    options = kind_of(schema).options(schema)
    place = {f'"{name}"': i for i, name in enumerate(options)}
    rows = np.full((len(ballots), len(options)), 1 / len(options))
    for i, ballot in enumerate(ballots):
        sure = ballot.predicted_probability
        if ballot.predicted in place and sure is not None:
            rows[i] = (1 - sure) / max(len(options) - 1, 1)
            rows[i, place[ballot.predicted]] = sure
        elif not ballot.people_only:
            return None
    return rows


def none_of_these(label: str | None) -> bool:
    """Whether a label is the outcome that tells of a class the schema does not have."""
    return label == f'"{NONE_OF_THESE}"'
