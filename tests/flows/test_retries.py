"""The retry policy: what is transient is tried again, what needs a person is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prefect import flow
from prefect.settings import PREFECT_RESULTS_PERSIST_BY_DEFAULT, temporary_settings

from flows.steps import retrying
from retrue.errors import ConfigError, LeaseHeld, RetrueError

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    # Prefect's own: see `forget_connections`.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Step:
    """Fails a few times, then does its work; counts its calls."""

    def __init__(self, error: RetrueError | None = None, failures: int = 0) -> None:
        self.error, self.failures, self.calls = error, failures, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.error is not None and self.calls <= self.failures:
            raise self.error
        return self.calls


def a_flow(step: Step, times: int = 1) -> Callable[[], list[int]]:
    """A flow of nothing but a step, as `flows.steps` makes them, that waits for nothing."""

    def work(root: str) -> int:  # noqa: ARG001 - as the steps are
        return step()

    task = retrying(work).with_options(retry_delay_seconds=0, retry_jitter_factor=0)

    @flow
    def tiny() -> list[int]:
        return [task("here") for _ in range(times)]

    return tiny


def test_a_step_that_met_a_held_lease_is_run_again():
    step = Step(LeaseHeld("lease fruit/push: held by another process"), failures=2)

    done = a_flow(step)()

    assert done == [3]


def test_a_step_that_never_gets_through_gives_up_with_its_own_error():
    step = Step(LeaseHeld("lease fruit/push: held by another process"), failures=99)

    with pytest.raises(LeaseHeld, match="fruit/push"):
        a_flow(step)()

    assert step.calls == 5


@pytest.mark.parametrize("error", [ConfigError("project: missing"), RetrueError("unmarked")])
def test_what_is_not_transient_is_not_run_again(error: RetrueError):
    step = Step(error, failures=1)

    with pytest.raises(type(error)):
        a_flow(step)()

    assert step.calls == 1


def test_a_step_called_twice_in_a_flow_runs_twice_even_where_results_are_kept():
    step = Step()

    with temporary_settings({PREFECT_RESULTS_PERSIST_BY_DEFAULT: True}):
        done = a_flow(step, times=2)()

    assert done == [1, 2]
