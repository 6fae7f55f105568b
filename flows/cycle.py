"""cycle: everything that can be done now, in one line. A second run finds nothing and says so."""

from __future__ import annotations

from prefect import get_run_logger

from flows.close_round import close_round
from flows.monitor import monitor
from flows.open_round import open_round
from flows.retrain import retrain
from flows.running import Report, loop_flow

__all__ = ["cycle"]


@loop_flow("retrue-cycle")
def cycle(root: str) -> Report:
    """Monitor -> open_round -> close_round -> retrain, as one flow run."""
    done = monitor.fn(root) | open_round.fn(root) | close_round.fn(root) | retrain.fn(root)
    idle = _idle(done)
    if idle:
        get_run_logger().info("nothing to do: no new data, no new answers, no new version")
    return done | {"idle": idle}


def _idle(done: Report) -> bool:
    judged = done["validate"]
    busy = (
        any(stream["window"] for stream in done["ingest"]["streams"])
        or done["drift"]["checks"]
        or done["drift"]["probes"]
        or done["select"]["planned"]
        or any(item["added"] for item in done["push"]["rounds"])
        or any(done["collect"][name] for name in ("new", "changed", "deleted"))
        or judged["written"]
        or judged["disputes"]
        or any(item["closed"] for item in judged["rounds"])
        or done["version"]["manifest"]
        or done["train"]["outcome"] != "nothing"
    )
    return not busy
