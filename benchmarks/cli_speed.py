"""How long a person waits for the commands typed most often: whole processes, start to end.

Each command runs once to warm the caches, then 7 times; the commands take turns, so that a busy
minute falls on all of them. CPU is user + system of the process and its children. Targets:
`--help` at most 0.4 s, `status` at most 1 s, `check` under 3 s.

    python benchmarks/cli_speed.py [workspace]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RUNS = 7
TARGETS = {"--help": 0.4, "status": 1.0, "check": 3.0}  # wall seconds

Timing = tuple[float, float]  # wall, CPU seconds


def run(folder: Path, command: str) -> Timing:
    """Time one process, without its output.

    Raises:
        CalledProcessError: The command failed.
    """
    script = Path(sys.executable).with_name("retrue")
    before, start = os.times(), time.perf_counter()
    subprocess.run(  # noqa: S603 - our own program
        [script, "-C", folder, command], check=True, stdout=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system


def make_demo(folder: Path) -> Path:
    """The demo's workspace: five weeks of rounds, versions and checks."""
    from retrue.cli.app import app

    app(["demo", "--dir", str(folder)], standalone_mode=False)
    return folder


def measure(folder: Path) -> dict[str, list[Timing]]:
    """The runs of every command, after one that is not counted."""
    found: dict[str, list[Timing]] = {command: [] for command in TARGETS}
    for count in range(RUNS + 1):
        for command, timings in found.items():
            timing = run(folder, command)
            if count:
                timings.append(timing)
    return found


def show(found: dict[str, list[Timing]]) -> None:
    """Print a table."""
    print(f"{'':16}{'wall s: median':>16}{'min':>7}{'max':>7}{'CPU s: median':>16}  target")  # noqa: T201
    for command, timings in found.items():
        walls, cpus = zip(*timings, strict=True)
        target = TARGETS[command]
        said = "met" if median(walls) <= target else "MISSED"
        print(  # noqa: T201
            f"retrue {command:9}{median(walls):16.2f}{min(walls):7.2f}{max(walls):7.2f}"
            f"{median(cpus):16.2f}  {target} s {said}"
        )


def main() -> None:
    """Measure in a workspace that is there, else in a new demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", nargs="?", type=Path, help="default: a new demo")
    workspace: Path | None = parser.parse_args().workspace
    with tempfile.TemporaryDirectory() as folder:
        show(measure(workspace or make_demo(Path(folder) / "demo")))


if __name__ == "__main__":
    main()
