"""A few fault runs on the real services; `make test-faults` plays hundreds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.real import stack as services
from faults.real.series import Series, read_outcomes
from faults.real.stack import Stack

pytestmark = pytest.mark.service

IMPORTS_CUT = (26, 42)  # seeds: the first import is done, and nobody hears of it


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with services.running(tmp_path_factory.mktemp("stack")) as running:
        yield running


def test_faulty_rounds_lose_and_double_nothing(stack: Stack, tmp_path: Path):
    out = tmp_path / "results.jsonl"

    Series(stack, out, lanes=2).run("rounds", IMPORTS_CUT)

    faulty = [one for one in read_outcomes(out) if one.seed >= 0]
    assert len(faulty) == len(IMPORTS_CUT)
    assert [one for one in faulty if not one.fine] == []
    assert all(one.same_digest for one in faulty)


def test_the_same_faults_harm_a_naive_push_and_collect(stack: Stack, tmp_path: Path):
    out = tmp_path / "results.jsonl"

    Series(stack, out, lanes=2).run("naive", IMPORTS_CUT)

    faulty = [one for one in read_outcomes(out) if one.seed >= 0]
    assert all(one.copies_left + one.answered_copies for one in faulty)


@pytest.mark.slow
def test_a_faulty_loop_ends_as_an_undisturbed_one(stack: Stack, tmp_path: Path):
    out = tmp_path / "results.jsonl"

    Series(stack, out, lanes=1).run("loops", [0])

    calm, faulty = read_outcomes(out)
    assert faulty.fine
    assert faulty.facts == calm.facts
