"""Dataset versions as files: rebuilt from records alone, equal for ever, checked when read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.adapters.dataset_files import read_manifest, read_rows, write_dataset
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.core.digest import content_digest, dataset_digest, subtract
from retrue.core.version_plan import VersionPlan, version_data
from retrue.errors import RecordError
from retrue.records import Arm, Decision, Manifest, RoundPlan, Sample, Task, Verdict, VerdictStatus

START = datetime(2026, 3, 1, tzinfo=UTC)


def keep(label: str, _from: int, _to: int) -> str | None:
    return label


@dataclass
class History:
    """Records that grow by one round and one version at a time."""

    records: MemoryRoundRecord
    files: tuple[str, ...] = ()
    clock: int = 0

    @property
    def now(self) -> datetime:
        self.clock += 1
        return START + timedelta(hours=self.clock)

    def round(
        self,
        asked: dict[str, Arm],
        labels: dict[str, str | None],
        groups: dict[str, str] | None = None,
    ) -> None:
        """One labelled round; a label None is a dispute."""
        plan = RoundPlan(
            round_id=f"r{self.clock}",
            kind="incoming",
            cause="c",
            why="",
            population=(),
            frame_rows=1000,
            seed="s",
            arms={"audit": 10},
            schema_version=1,
            guideline_version="1",
            cost_per_label=0.0,
            currency="EUR",
            parent=None,
            planned_at=self.now,
        )
        samples = [a_sample(name, (groups or {}).get(name)) for name in asked]
        tasks = [a_task(plan.round_id, name, arm) for name, arm in asked.items()]
        self.records.plan_round(plan, samples, tasks)
        at = self.now
        verdicts = [a_verdict(name, label, at) for name, label in labels.items()]
        file = self.records.append_verdicts(plan.round_id, verdicts)
        self.files = (*self.files, f"{plan.round_id}/{file}")

    def decide(self, version: int) -> datetime:
        """A version of all that is labelled so far; returns when it was decided."""
        plan = VersionPlan(
            version=version,
            verdict_files=self.files,
            schema_version=1,
            guideline_version="1",
            eval_share=0.5,
            temporal_cutoff=None,
            at=self.now,
        )
        self.records.decide(
            Decision(
                decision_id=f"v{version}",
                kind="version",
                at=plan.at,
                by="me",
                data=version_data(plan),
            )
        )
        return plan.at

    def write(
        self, out: Path, version: int | None = None, forgotten: frozenset[str] = frozenset()
    ) -> Manifest:
        return write_dataset(
            self.records, out, version=version, project="p", migrate=keep, forgotten=forgotten
        )


def a_sample(name: str, group: str | None) -> Sample:
    return Sample(
        sample_id=name,
        revision=f"rev-{name}",
        window_id="w",
        uri="s3://b/k",
        object_version="1",
        row=0,
        fields="{}",
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=group,
        subject=None,
        time=None,
        multiplicity=1,
    )


def a_task(round_id: str, name: str, arm: Arm) -> Task:
    return Task(
        task_key=f"{round_id}-{name}",
        round_id=round_id,
        sample_id=name,
        arm=arm,
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=None,
        trigger="",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def a_verdict(name: str, label: str | None, at: datetime) -> Verdict:
    status: VerdictStatus = "disputed" if label is None else "accepted"
    return Verdict(
        sample_id=name,
        label=label,
        confidence=0.9,
        n_answers=1,
        status=status,
        method="majority",
        reason="",
        schema_version=1,
        decided_at=at,
    )


def names(count: int, start: int = 0) -> list[str]:
    return [f"s{number:03d}" for number in range(start, start + count)]


def history(*sizes: int) -> History:
    """One round with that many new samples, and one version, per size."""
    grown = History(MemoryRoundRecord())
    start = 0
    for version, size in enumerate(sizes, start=1):
        new = names(size, start)
        start += size
        grown.round(dict.fromkeys(new, "active"), dict.fromkeys(new, '"x"'))
        grown.decide(version)
    return grown


def label_files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "labels").iterdir()}


def test_a_version_is_read_back_as_it_was_written(tmp_path: Path):
    grown = History(MemoryRoundRecord())
    grown.round({"a": "audit", "b": "active"}, {"a": '"x"', "b": '"y"'})
    decided = grown.decide(1)

    manifest = grown.write(tmp_path)

    rows = read_rows(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert [(row.sample_id, row.label, row.arm) for row in rows] == [
        ("a", '"x"', "audit"),
        ("b", '"y"', "active"),
    ]
    assert (manifest.version, manifest.rows, manifest.added) == (1, 2, 2)
    assert manifest.train + manifest.evaluation == 2
    assert manifest.classes == {'"x"': 1, '"y"': 1}
    assert manifest.digest == dataset_digest(rows)
    assert manifest.content_digest == content_digest(rows)
    assert manifest.built_at == decided
    assert manifest.verdict_files == grown.files
    assert "dataset version 1" in (tmp_path / "card.md").read_text()


def test_before_the_first_decision_there_is_an_empty_dataset_that_says_so(tmp_path: Path):
    grown = History(MemoryRoundRecord())
    grown.round({"a": "active"}, {"a": '"x"'})

    manifest = grown.write(tmp_path)

    assert (manifest.version, manifest.rows, manifest.digest) == (0, 0, "0" * 64)
    assert read_rows(tmp_path) == []
    assert "no dataset yet" in (tmp_path / "card.md").read_text()


def test_a_version_that_was_not_decided_is_refused(tmp_path: Path):
    with pytest.raises(RecordError, match=r"version 3: it was not decided.*: 1, 2"):
        history(2, 2).write(tmp_path, 3)
    with pytest.raises(RecordError, match="none yet"):
        History(MemoryRoundRecord()).write(tmp_path, 1)

    assert not list(tmp_path.iterdir())


def test_small_changes_are_deltas_until_they_exceed_half_of_the_base(tmp_path: Path):
    grown = history(10, 3, 2, 1, 1)

    found = [grown.write(tmp_path / str(v), v) for v in (1, 2, 3, 4, 5)]

    # Base 10: deltas of 3 and 2 are half of it; the next 1 exceeds it.
    assert [(manifest.base[7:-8], len(manifest.deltas)) for manifest in found] == [
        ("base-1", 0),
        ("base-1", 1),
        ("base-1", 2),
        ("base-4", 0),
        ("base-4", 1),
    ]
    assert [len(read_rows(tmp_path / str(v))) for v in (1, 2, 3, 4, 5)] == [10, 13, 15, 16, 17]
    assert set(label_files(tmp_path / "5")) == {"base-4.parquet", "delta-5.parquet"}


def test_deltas_hold_changed_and_removed_rows(tmp_path: Path):
    grown = history(10)
    relabelled: dict[str, Arm] = {"s001": "relabel", "s002": "relabel"}
    grown.round({**relabelled, "new": "active"}, {"s001": '"z"', "s002": None, "new": '"x"'})
    grown.decide(2)

    manifest = grown.write(tmp_path)

    rows = {row.sample_id: row for row in read_rows(tmp_path)}
    assert manifest.deltas == ("labels/delta-2.parquet",)
    assert (manifest.added, manifest.changed, manifest.removed) == (1, 1, 1)
    assert rows.keys() == {*names(10), "new"} - {"s002"}
    assert rows["s001"].label == '"z"'


def test_a_later_version_leaves_older_files_byte_for_byte(tmp_path: Path):
    grown = history(10, 2)
    grown.write(tmp_path, 2)
    before = label_files(tmp_path)
    marked = (tmp_path / "labels" / "base-1.parquet").stat().st_mtime_ns

    grown.round({"z": "active"}, {"z": '"x"'})
    grown.decide(3)
    grown.write(tmp_path)

    after = label_files(tmp_path)
    assert before.items() < after.items()
    assert (tmp_path / "labels" / "base-1.parquet").stat().st_mtime_ns == marked


def test_going_back_to_an_older_version_gives_its_folder_again(tmp_path: Path):
    grown = history(10, 2, 9)
    first = grown.write(tmp_path, 2)
    before = label_files(tmp_path)
    grown.write(tmp_path, 3)

    again = grown.write(tmp_path, 2)

    assert again == first
    assert label_files(tmp_path) == before


def test_damaged_label_files_are_noticed_and_written_again(tmp_path: Path):
    grown = history(10, 2)
    grown.write(tmp_path)
    whole = label_files(tmp_path)
    (tmp_path / "labels" / "base-1.parquet").write_bytes(b"half")
    (tmp_path / "labels" / "delta-2.parquet").write_bytes(whole["base-1.parquet"])

    with pytest.raises(RecordError, match=r"base-1\.parquet.*dvc checkout"):
        read_rows(tmp_path)
    grown.write(tmp_path)

    assert label_files(tmp_path) == whole


def test_rows_that_do_not_fit_the_digest_are_refused(tmp_path: Path):
    history(3).write(tmp_path / "a")
    history(4).write(tmp_path / "b")
    base = Path("labels") / "base-1.parquet"

    (tmp_path / "a" / base).write_bytes((tmp_path / "b" / base).read_bytes())

    with pytest.raises(RecordError, match="rows with digest"):
        read_rows(tmp_path / "a")


@pytest.mark.parametrize("name", ["../base-1.parquet", "/labels/base-1.parquet", "manifest.json"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str):
    history(1).write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace("labels/base-1.parquet", name))

    with pytest.raises(RecordError, match=r"manifest\.json.*label files"):
        read_rows(tmp_path)


def test_a_folder_without_a_dataset_says_so(tmp_path: Path):
    with pytest.raises(RecordError, match=r"manifest\.json.*dvc pull"):
        read_rows(tmp_path)


def test_forgetting_a_sample_takes_exactly_its_row_out_of_every_version(tmp_path: Path):
    grown = history(10, 2)
    before = [grown.write(tmp_path / f"b{v}", v) for v in (1, 2)]
    (gone,) = [row for row in read_rows(tmp_path / "b1") if row.sample_id == "s004"]

    after = [grown.write(tmp_path / f"a{v}", v, frozenset({"s004"})) for v in (1, 2)]

    assert [m.digest for m in after] == [subtract(m.digest, dataset_digest([gone])) for m in before]
    assert not any(
        b"s004" in content for v in (1, 2) for content in label_files(tmp_path / f"a{v}").values()
    )


LABELS = st.sampled_from(['"x"', '"y"', None])
ARMS = st.sampled_from(["audit", "active", "random"])
NAMES = st.sampled_from(names(12))
ROUNDS = st.dictionaries(NAMES, st.tuples(ARMS, LABELS), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(st.lists(ROUNDS, min_size=2, max_size=6), st.data())
def test_records_that_come_later_change_no_earlier_version(
    rounds: list[dict[str, tuple[Arm, str | None]]], data: st.DataObject
):
    grown = History(MemoryRoundRecord())
    groups = {name: f"g{int(name[1:]) % 5}" for name in names(12)}
    written: list[Manifest] = []
    with TemporaryDirectory() as folder:
        shared = Path(folder) / "shared"

        for version, asked in enumerate(rounds, start=1):
            arms: dict[str, Arm] = {name: arm for name, (arm, _) in asked.items()}
            grown.round(arms, {name: label for name, (_, label) in asked.items()}, groups)
            grown.decide(version)
            written.append(grown.write(shared))
            assert dataset_digest(read_rows(shared)) == written[-1].digest

        back = data.draw(st.integers(1, len(rounds)))
        assert grown.write(shared, back) == written[back - 1]
        fresh = Path(folder) / "fresh"
        assert grown.write(fresh, back) == written[back - 1]
        assert label_files(fresh) == label_files(shared)
        splits = {row.group: row.split for row in read_rows(fresh)}
        assert all(splits[row.group] == row.split for row in read_rows(fresh))


def test_the_order_of_records_in_a_file_does_not_matter(tmp_path: Path):
    one, other = History(MemoryRoundRecord()), History(MemoryRoundRecord())
    labels = {"a": '"x"', "b": '"y"', "c": '"x"'}
    one.round(dict.fromkeys(labels, "active"), dict(labels))
    other.round(dict.fromkeys(reversed(labels), "active"), dict(reversed(labels.items())))
    for grown in (one, other):
        grown.decide(1)

    manifests = [one.write(tmp_path / "one"), other.write(tmp_path / "other")]

    assert manifests[0] == manifests[1]
    assert label_files(tmp_path / "one") == label_files(tmp_path / "other")


def test_a_wrong_row_changes_the_digest(tmp_path: Path):
    manifest = history(5).write(tmp_path)
    rows = read_rows(tmp_path)

    forged = [replace(rows[0], label='"other"'), *rows[1:]]

    assert dataset_digest(forged) != manifest.digest
