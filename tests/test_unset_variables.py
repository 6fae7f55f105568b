"""A project file that names what nobody set is refused where a default would do something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from retrue.config import PROJECT_FILE, Media, refuse_unset


def project(root: Path, text: str) -> Path:
    (root / PROJECT_FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / PROJECT_FILE).write_text(text, encoding="utf-8")
    return root


def test_another_ledger_or_other_keys_never_stand_in_for_a_variable_nobody_set(tmp_path: Path):
    root = project(
        tmp_path,
        """
store: {ledger: "${TEAM_LEDGER}"}
queue: {url: "${STUDIO}", media: {access_key: "${READER}", secret_key: "${READER_SECRET}"}}
notify: {webhook: "${HOOK}"}
""",
    )

    with pytest.raises(Exception, match=r"store\.ledger: \$\{TEAM_LEDGER\}") as refused:
        refuse_unset(root, {"READER": "abc"})

    told = str(refused.value)
    assert "queue.media.secret_key: ${READER_SECRET}" in told
    assert not any(name in told for name in ("STUDIO", "HOOK", "READER}"))


def test_what_is_set_is_not_missed(tmp_path: Path):
    refuse_unset(project(tmp_path, 'store: {ledger: "${TEAM_LEDGER}"}'), {"TEAM_LEDGER": "x"})


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_half_a_pair_of_media_keys_is_refused(name: str):
    with pytest.raises(ValidationError, match="access_key and secret_key, got one"):
        Media.model_validate({name: "abc"})
