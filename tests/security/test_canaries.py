"""A canary in every secret, everything fails, and nothing that was written holds one.

Each command runs as a process of its own with every library's log at DEBUG.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import yaml

from retrue.initialising import make_workspace
from services.packages import free_ports

pytestmark = pytest.mark.slow  # two dozen processes, some of which wait for services that are away

CANARIES = {
    name: f"canary+{name}/Zq7=9"
    for name in ("ls", "aws", "awstoken", "pg", "hook", "mlflow", "git", "dvc", "webhook", "smtp")
}
# Logs everything it can, then is the program.
PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, filename=sys.argv.pop(1), force=True)
from retrue.cli import main
main()
"""
LOG = "debug.log"


def in_address(name: str) -> str:
    return quote(CANARIES[name], safe="")


def forms_of(secret: str) -> Iterator[bytes]:
    """As it is, as addresses and JSON carry it, and inside of any base64."""
    yield from (form.encode() for form in {secret, quote(secret, safe=""), quote(secret)})
    yield quote_plus(secret).encode()
    for before in range(3):
        coded = base64.b64encode(b"#" * before + secret.encode() + b"#" * 3)
        yield coded[4 if before else 0 : 4 + (len(secret) // 3 - 1) * 4]


def holding(written: Mapping[str, bytes]) -> list[str]:
    """Who says which secret."""
    return [
        f"{place}: {name}"
        for place, data in written.items()
        for name, secret in CANARIES.items()
        if any(form in data for form in forms_of(secret))
    ]


def on_disk(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file but two of the user's own: where git and DVC keep their passwords."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.endswith(("wines/.git/config", "wines/.dvc/config.local")):
            continue
        if path.name == "config.local":  # DVC's own way of being told
            assert path.stat().st_mode & 0o077 == 0, name
            continue
        yield name, path.read_bytes()


def in_git(root: Path) -> bytes:
    """Every object, inflated: files, trees, commits and their messages, tags."""
    asked = ("git", "cat-file", "--batch-all-objects", "--batch")
    return subprocess.run(asked, cwd=root, check=True, capture_output=True).stdout


class Haunted:
    """A workspace whose every service is a closed port, known by a secret."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self.said: dict[str, bytes] = {}
        self.codes: dict[str, int] = {}

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "LABEL_STUDIO_URL": f"http://127.0.0.1:{self.port}",
            "LABEL_STUDIO_API_KEY": CANARIES["ls"],
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "2",
            "AWS_ACCESS_KEY_ID": "AKIDCANARY",
            "AWS_SECRET_ACCESS_KEY": CANARIES["aws"],
            "AWS_SESSION_TOKEN": CANARIES["awstoken"],
            "RETRUE_WEBHOOK_SECRET": CANARIES["webhook"],
            "RETRUE_SMTP_PASSWORD": CANARIES["smtp"],
            "TEAM_LEDGER": f"postgresql://u:{in_address('pg')}@127.0.0.1:{self.port}/d",
            "TEAM_HOOK": f"http://127.0.0.1:{self.port}/services/{in_address('hook')}",
            "TEAM_MLFLOW": f"http://u:{in_address('mlflow')}@127.0.0.1:{self.port}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }

    def configure(self, **sections: Mapping[str, object]) -> None:
        file = self.root / "configs/project.yaml"
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, values in sections.items():
            raw[name] = {**raw.get(name, {}), **values}
        file.write_text(yaml.safe_dump(raw), encoding="utf-8")

    def run(self, *words: str) -> int:
        name = f"{len(self.said) // 2:02} {' '.join(words)}"
        log = self.root.parent / f"{len(self.said) // 2:02}-{LOG}"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, log, "-C", self.root, *words],
            env=self.environment,
            capture_output=True,
            timeout=300,
        )
        self.said[name] = done.stdout + done.stderr
        self.said[f"{name}: log"] = log.read_bytes() if log.exists() else b""
        self.codes[name] = done.returncode
        return done.returncode


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Haunted:
    root = tmp_path_factory.mktemp("haunted") / "wines"
    make_workspace(root, kind="table", example=True)
    place = Haunted(root, free_ports(1)[0])
    place.configure(notify={"webhook": "${TEAM_HOOK}"})
    for words in (("ingest",), ("select",), ("push",)):
        assert place.run(*words) == 0, place.said
    return place


@pytest.fixture
def haunted(place: Haunted) -> Iterator[Haunted]:
    """The same workspace for all, as its first steps left it."""
    file = place.root / "configs/project.yaml"
    text = file.read_text(encoding="utf-8")
    yield place
    file.write_text(text, encoding="utf-8")


def check(place: Haunted) -> None:
    written = {**place.said, "git": in_git(place.root), **dict(on_disk(place.root.parent))}
    assert holding(written) == []


def each(place: Haunted, commands: Sequence[tuple[str, ...]], *, fail: bool = True) -> None:
    """Run them; where services are away, the first must fail."""
    codes = [place.run(*words) for words in commands]
    assert (codes[0] != 0) is fail, (commands, codes, place.said)


def test_the_net_finds_what_it_looks_for():
    for name, secret in CANARIES.items():
        for told in (secret, quote(secret, safe=""), quote_plus(secret)):
            assert holding({"x": f"a {told} b".encode()}) == [f"x: {name}"]
        for before in ("", "u", "us", "use"):
            coded = base64.b64encode(f"{before}{secret}:{secret}".encode())
            assert holding({"x": coded}) == [f"x: {name}"]


def test_a_ledger_that_is_away_keeps_its_password(haunted: Haunted):
    haunted.configure(store={"ledger": "${TEAM_LEDGER}"})

    each(haunted, [("ingest",), ("--debug", "ingest"), ("status",), ("doctor",), ("check",)])

    check(haunted)


def test_an_object_store_that_is_away_keeps_its_keys(haunted: Haunted):
    haunted.configure(data={"incoming": {"uri": "s3://acme/in", "key": "id"}})

    each(haunted, [("ingest",), ("--debug", "ingest"), ("doctor", "--json")])

    check(haunted)


def test_an_annotation_tool_that_is_away_keeps_its_token(haunted: Haunted):
    haunted.configure(queue={"use": "label_studio"})

    each(haunted, [("collect",), ("--debug", "push"), ("doctor",)])

    check(haunted)


def test_a_model_registry_that_is_away_keeps_its_password(haunted: Haunted):
    haunted.configure(model={"tracking_uri": "${TEAM_MLFLOW}"})

    each(haunted, [("model", "list"), ("--debug", "model", "list"), ("doctor",)])

    check(haunted)


def test_remotes_that_are_away_keep_their_passwords(haunted: Haunted):
    remote = f"https://u:{in_address('git')}@127.0.0.1:{haunted.port}/r.git"
    subprocess.run(["git", "remote", "add", "origin", remote], cwd=haunted.root, check=True)
    each(haunted, [("doctor",), ("--debug", "collect", "--push"), ("status",)])
    private = haunted.root / ".dvc/config.local"
    private.write_text(
        f"['remote \"retrue\"']\n    access_key_id = AKID\n    secret_access_key = "
        f"{CANARIES['dvc']}\n    endpointurl = http://127.0.0.1:{haunted.port}\n"
    )
    private.chmod(0o600)
    haunted.configure(store={"dvc_remote": "s3://acme/dvc"})

    each(haunted, [("collect", "--push"), ("--debug", "collect", "--push")])

    check(haunted)


def test_what_is_shown_and_reported_holds_no_secret(haunted: Haunted):
    haunted.configure(train={"command": "./train.sh ${TEAM_HOOK} {dataset} {output}"})

    each(haunted, [("status", "--json"), ("report",), ("round", "list", "--json")], fail=False)

    check(haunted)


@pytest.mark.parametrize(
    "broken",
    [
        "notify: {{webhook: [{hook}]}}",
        "queue: {{api_key: {{a: {ls}}}}}",
        "store: {{ledger: 5, dvc_remote: ['{dvc}']}}",
        "project: ${{TEAM_HOOK}}",
        "store: {{ledger: '{pg}",
    ],
)
def test_mistakes_in_the_configuration_are_told_without_secrets(haunted: Haunted, broken: str):
    file = haunted.root / "configs/project.yaml"
    text = file.read_text(encoding="utf-8")
    kept = "".join(
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(broken.partition(":")[0])
    )
    before = {*haunted.said}
    file.write_text(f"{kept}\n{broken.format(**CANARIES)}\n", encoding="utf-8")

    each(haunted, [("check",), ("--debug", "status")])

    assert holding({name: haunted.said[name] for name in {*haunted.said} - before}) == []
