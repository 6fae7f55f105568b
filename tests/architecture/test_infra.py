"""The compose file keeps its promises: pinned, private, not as root, no known passwords."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((INFRA / "compose.yaml").read_text())[
    "services"
]
ONCE = {"buckets"}  # ends when it is done, so its exit code says how it is


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "project.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_watched_private_and_nobody(name: str):
    service = SERVICES[name]

    tag = service["image"].rpartition(":")[2]
    assert re.match(r"\d+\.\d+", tag), service["image"]
    assert service["user"].split(":")[0] != "0"
    assert "healthcheck" in service or name in ONCE
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_value_in_the_file(name: str):
    values: dict[str, str] = SERVICES[name].get("environment", {})

    for variable, value in values.items():
        if re.search("PASSWORD|SECRET|ACCESS_KEY|USER_TOKEN|API_KEY|AUTH_STRING", variable):
            assert re.fullmatch(r"\$\{\w+:\?run infra/new-env\}", value), variable


def test_new_env_gives_every_name_the_file_asks_for(workspace: Path, tmp_path: Path):
    asked = set(re.findall(r"\$\{(\w+):\?", (INFRA / "compose.yaml").read_text()))
    script = tmp_path / "new-env"
    script.write_text((INFRA / "new-env").read_text())

    _run(script, workspace, owned_by_root=workspace.stat().st_uid == 0)

    file = tmp_path / ".env"
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert set(values) >= asked
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len({value for name, value in values.items() if "PASSWORD" in name}) == 6


def test_new_env_replaces_no_secret_that_is_in_use(workspace: Path, tmp_path: Path):
    script = tmp_path / "new-env"
    script.write_text((INFRA / "new-env").read_text())
    (tmp_path / ".env").write_text("A=1\n")

    done = subprocess.run(
        [sys.executable, script, workspace], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "not replaced" in done.stderr
    assert (tmp_path / ".env").read_text() == "A=1\n"


def _run(script: Path, workspace: Path, *, owned_by_root: bool) -> None:
    if owned_by_root:
        import os

        os.chown(workspace, 65534, 65534)
    subprocess.run([sys.executable, script, workspace], check=True, capture_output=True)
