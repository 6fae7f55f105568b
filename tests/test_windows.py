"""Windows: the rows of some objects, the same at every reading."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from retrue.core.batch_profile import first_centers, profile_columns
from retrue.core.profile import CategoryProfile, NumberProfile
from retrue.errors import ConfigError, StoreError
from retrue.reading.media import media_reader, pin_media
from retrue.reading.windows import read_objects, read_window, samples_of
from retrue.records import Window
from windows_bench import NOON, World, config, jsonl


def window(*refs) -> Window:
    return Window(
        window_id="w",
        stream="incoming",
        objects=refs,
        rows=0,
        eligible=0,
        duplicates=0,
        quarantined=0,
        first_time=None,
        last_time=None,
        model_version=None,
        recorded_at=NOON,
    )


def test_a_key_that_came_before_in_another_object_is_a_duplicate():
    world = World()
    a = world.put("a.jsonl", jsonl([{"id": "1"}, {"id": "2"}, {"id": "1"}]))
    b = world.put("b.csv", b"id\n2\n3\n")

    batches = list(read_objects([a, b], "incoming", config(key="id"), world.store))

    assert [batch.first.tolist() for batch in batches] == [[True, True, False], [False, True]]


def test_an_object_that_is_damaged_is_told_once_and_the_others_are_read():
    world = World()
    bad = world.put("a.parquet", b"nonsense")
    good = world.put("b.csv", b"id\n1\n")

    batches = list(read_objects([bad, good], "incoming", config(key="id"), world.store))

    told = [item for batch in batches for item in batch.quarantined]
    assert [(item.uri, item.version, item.row) for item in told] == [(bad.uri, bad.version, None)]
    assert [i for batch in batches for i in batch.sample_id.to_pylist()] == ["1"]


def test_types_are_settled_by_the_first_rows_for_all_objects():
    world = World()
    a = world.put("a.csv", b"id,x\n1,7\n")
    b = world.put("b.csv", b"id,x\n2,many\n")

    batches = list(read_objects([a, b], "incoming", config(key="id"), world.store))

    assert batches[0].fields.to_pylist() == [{"x": 7.0}]
    assert batches[1].quarantined[0].reason == "x: expected a number, got text"


def test_a_recorded_window_is_read_again_exactly_or_not_at_all():
    world = World()
    ref = world.put("a.csv", b"id,x\n1,7\n1,8\n")
    first = list(read_window(window(ref), config(key="id"), world.store))

    again = list(read_window(window(ref), config(key="id"), world.store))
    world.put("a.csv", b"id,x\n1,9\n")

    assert [b.fields.to_pylist() for b in first] == [b.fields.to_pylist() for b in again]
    with pytest.raises(StoreError, match=r"mem://raw/a\.csv: expected version .* changed"):
        list(read_window(window(ref), config(key="id"), world.store))


def test_media_objects_are_samples_named_by_their_stem_with_metadata_beside():
    world = World()
    refs = [world.put(f"{name}.png", name.encode()) for name in ("cat", "dog")]
    world.put("meta.csv", b"id,camera\ndog,2\n")
    rules = config(kind="image", key="id", metadata="mem://raw/meta.csv", data__group="camera")

    (batch,) = read_objects(refs, "incoming", rules, world.store)

    assert batch.sample_id.to_pylist() == ["cat", "dog"]
    assert batch.group is not None
    assert batch.group.to_pylist() == [None, "2"]
    assert batch.row.tolist() == [-1, -1]
    (sample,) = samples_of(batch, np.array([1]), "w", multiplicity=[3])
    assert (sample.media_uri, sample.media_version) == (refs[1].uri, refs[1].version)
    assert (sample.row, sample.multiplicity) == (None, 3)


def test_media_without_a_key_are_named_by_their_content():
    world = World()
    refs = [world.put(f"{n}.png", data) for n, data in enumerate([b"same", b"same", b"other"])]

    (batch,) = read_objects(refs, "incoming", config(kind="image"), world.store)

    assert batch.sample_id.to_pylist()[0] == hashlib.sha256(b"same").hexdigest()
    assert batch.first.tolist() == [True, False, True]


def test_metadata_without_a_key_to_join_by_is_a_mistake_in_the_configuration():
    with pytest.raises(ConfigError, match=r"data\.incoming\.key"):
        list(
            read_objects(
                [], "incoming", config(kind="image", metadata="mem://raw/m.csv"), World().store
            )
        )


def test_a_sample_keeps_clean_fields_and_the_hash_of_the_raw_ones():
    world = World()
    fields = {"x": {"type": "number", "factor": 2}, "t": {"type": "time"}}
    refs = [
        world.put("a.csv", b"id,x,t\n1,7,2026-01-01\n"),
        world.put("b.csv", b"id,x,t\n1,8,NA\n"),
    ]
    a, b = read_objects(refs, "incoming", config(key="id", data__fields=fields), world.store)

    (first,) = samples_of(a, np.array([0]), "w", multiplicity=[1])
    (second,) = samples_of(b, np.array([0]), "w", multiplicity=[1])

    assert json.loads(first.fields) == {"x": 14.0, "t": "2026-01-01T00:00:00+00:00"}
    assert json.loads(second.fields) == {"x": 16.0, "t": None}
    assert first.sample_id == second.sample_id == "1"
    assert first.revision != second.revision
    assert (first.uri, first.row) == (refs[0].uri, 0)


def test_pinned_media_are_read_from_what_was_kept_even_when_the_store_lost_them():
    world = World()
    ref = world.put("cat.png", b"meow")
    (batch,) = read_objects([ref], "incoming", config(kind="image", key="id"), world.store)
    samples = samples_of(batch, np.array([0]), "w", multiplicity=[1])

    found = pin_media(samples, world.store)
    (pinned,), kept = found.samples, found.media
    world.store.delete(ref.uri)

    assert pinned.media_sha256 == hashlib.sha256(b"meow").hexdigest()
    assert media_reader(world.store, kept)(pinned) == b"meow"
    with pytest.raises(StoreError, match=r"cat\.png"):
        media_reader(world.store, {})(pinned)


def test_other_bytes_than_those_that_were_labelled_are_refused():
    world = World()
    ref = world.put("cat.png", b"meow")
    (batch,) = read_objects([ref], "incoming", config(kind="image", key="id"), world.store)
    (sample,) = samples_of(batch, np.array([0]), "w", multiplicity=[1])

    wrong = replace(sample, media_sha256="0" * 64)

    with pytest.raises(StoreError, match="expected the bytes that were labelled"):
        media_reader(world.store, {})(wrong)


def test_a_batch_is_profiled_with_a_models_outputs_and_the_lengths_of_texts():
    world = World()
    rows = [
        {"d": "two words", "c": "x", "b": True, "p_yes": 0.9, "p_no": 0.1},
        {"d": None, "c": None, "b": False, "p_yes": 0.2, "p_no": 0.8},
    ]
    ref = world.put("a.jsonl", jsonl(rows))
    rules = config("inference", kind="text", probabilities="p_*", data__text="d")
    (batch,) = read_objects([ref], "inference", rules, world.store)

    profile = profile_columns(batch, first_centers(batch, {}))

    numbers = {name for name, column in profile.items() if isinstance(column, NumberProfile)}
    assert numbers == {"d.words", "d.chars", "p[yes]", "p[no]", "p_max"}
    assert profile["predicted"] == CategoryProfile(missing=0, counts={"no": 1, "yes": 1})
    assert profile["c"] == CategoryProfile(missing=1, counts={"x": 1})
    assert profile["b"] == CategoryProfile(missing=0, counts={"false": 1, "true": 1})
    assert first_centers(batch, {})["d.words"] == 2
    assert profile["d.words"].missing == 1
