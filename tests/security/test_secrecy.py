"""Secrets are blotted out of what is shown and logged; what is no secret stays."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from retrue import secrecy
from retrue.adapters.notify_webhook import WebhookNotifier
from retrue.config import load_config
from retrue.errors import ConfigError, StoreError
from retrue.secrecy import guard_logs, remember, without_secrets
from s3_that_says import Reply, saying

SECRET = "canary+Zq/7=9x"  # noqa: S105


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(secrecy, "_known", set())
    make = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(make)


def test_a_known_secret_is_found_in_every_form():
    remember([SECRET])

    forms = [SECRET, quote(SECRET, safe="")]
    forms += [base64.b64encode(f"{before}{SECRET}".encode()).decode() for before in ("", "u", "us")]
    for form in forms:
        told = without_secrets(f"said {form} here")
        assert "***" in told
        assert SECRET not in told
        assert quote(SECRET, safe="") not in told
        assert base64.b64encode(SECRET.encode())[4:12].decode() not in told


def test_an_error_of_ours_never_tells_a_secret():
    remember([SECRET])

    assert str(StoreError(f"bucket: wrong key {SECRET}")) == "bucket: wrong key ***"


def test_what_the_environment_names_is_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", SECRET)

    assert without_secrets(f"Token {SECRET}!") == "Token ***!"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://me:pw@host/x and ssh://git@host/y", "https://***@host/x and ssh://***@host/y"),
        (
            "/k?X-Amz-Credential=AKID%2F1&X-Amz-Expires=60&X-Amz-Security-Token=t%2B&x=1",
            "/k?X-Amz-Credential=***&X-Amz-Expires=60&X-Amz-Security-Token=***&x=1",
        ),
        ("{'Authorization': 'Token 0123456789'}", "{'Authorization': 'Token ***'}"),
        ("authorization: Bearer ab.cd.ef12", "authorization: Bearer ***"),
        ("s3://bucket/key mailto me@host", "s3://bucket/key mailto me@host"),
        ("model.authorization_column: expected text", "model.authorization_column: expected text"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out_and_nothing_else(text: str, clean: str):
    assert without_secrets(text) == clean


def test_an_address_is_shown_without_its_password_and_a_short_word_hides_nothing():
    remember(["postgresql://team:p%40ss-word@db/retrue", "a"])

    assert without_secrets("pass p@ss-word to db, a") == "pass *** to db, a"


def logged(url: str) -> str:
    """Everything that any library logs while a webhook is called."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(stream), root.level
    handler.setFormatter(logging.Formatter("%(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        WebhookNotifier(url).send("drift", "look")
        try:
            raise ValueError(f"cannot post to {url}")  # noqa: TRY301
        except ValueError:
            logging.getLogger("retrue").exception("failed")
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    return stream.getvalue()


def test_no_log_of_any_library_tells_the_webhooks_address():
    with saying() as server:
        server.say(Reply())
        url = f"{server.url}/services/T0/{SECRET}"

        assert SECRET in logged(url)  # as it is without us
        remember([url, SECRET])
        guard_logs()
        told = logged(url)

    assert "***" in told
    assert SECRET not in told


def a_workspace(folder: Path, more: str) -> Path:
    (folder / "configs").mkdir()
    text = "project: demo\ndata: {kind: table, incoming: {uri: raw}}\n"
    (folder / "configs/project.yaml").write_text(f"{text}{more}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "more",
    [
        f"notify: {{webhook: ['{SECRET}']}}",
        f"notify: {{webhook: {{a: '{SECRET}'}}}}",
        "notify: {webhook: 1234567890123}",
        "queue: {api_key: 1234567890123}",
        "store: {ledger: 1234567890123}",
        f"notify: {{webhook: '{SECRET}}}",
        "project: ${TOKEN}",
        "select: {budget: '${TOKEN}'}",
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_its_secret(tmp_path: Path, more: str):
    root = a_workspace(tmp_path, more)

    with pytest.raises(ConfigError, match=r"project\.yaml") as told:
        load_config(root, {"TOKEN": SECRET})

    chain = f"{told.value} {told.value.__cause__}"
    assert SECRET not in chain
    assert "1234567890123" not in chain


def test_a_mistake_from_the_environment_is_shown_as_the_file_has_it(tmp_path: Path):
    root = a_workspace(tmp_path, "select: {budget: '${BUDGET}'}")

    with pytest.raises(ConfigError, match=r"select\.budget: .*got '\$\{BUDGET\}'"):
        load_config(root, {"BUDGET": "many"})


def test_what_a_configuration_holds_is_known_once_it_is_read(tmp_path: Path):
    hook, ledger = f"https://hooks/{SECRET}", "postgresql://u:pw-of-ledger@h/d"
    root = a_workspace(tmp_path, "notify: {webhook: '${HOOK}'}\nstore: {ledger: '${DB}'}")

    config = load_config(root, {"HOOK": hook, "DB": ledger})

    assert SECRET not in repr(config)
    assert "pw-of-ledger" not in repr(config) + config.model_dump_json()
    assert without_secrets(f"{hook} pw-of-ledger") == "*** ***"
