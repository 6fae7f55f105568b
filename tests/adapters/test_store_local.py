"""What local folders add: links."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrue.adapters.store_local import LocalStore
from retrue.errors import ObjectGone, StoreError


def test_a_link_out_of_the_root_is_refused_by_name_and_in_a_listing(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (tmp_path / "raw" / "link.csv").symlink_to(tmp_path / "secret.csv")
    store = LocalStore(tmp_path, ["raw"])

    with pytest.raises(StoreError, match=r"raw/link\.csv: expected a name below raw"):
        store.resolve("raw/link.csv")
    with pytest.raises(StoreError, match=r"raw/link\.csv"):
        list(store.list_objects("raw", since=None))


def test_a_linked_folder_out_of_the_root_is_refused(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "raw" / "more").symlink_to(tmp_path / "other")

    with pytest.raises(StoreError, match="raw/more"):
        list(LocalStore(tmp_path, ["raw"]).list_objects("raw", since=None))


def test_an_escaped_dot_dot_in_a_file_uri_is_refused(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    root = f"file://{tmp_path}/raw"

    with pytest.raises(StoreError, match="expected a name below"):
        LocalStore(tmp_path, [root]).resolve(f"{root}/%2e%2e/secret.csv")


def test_odd_names_are_found_again_by_their_uri(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    for name in ("100% sure?.txt", "a#b.txt", "ü.txt"):
        (tmp_path / "raw" / name).write_text(name)

    for root in ("raw", f"file://{tmp_path}/raw"):
        store = LocalStore(tmp_path, [root])
        refs = list(store.list_objects(root, since=None))

        assert {store.read(ref).decode() for ref in refs} == {"100% sure?.txt", "a#b.txt", "ü.txt"}


def test_a_missing_folder_is_told(tmp_path: Path):
    with pytest.raises(StoreError, match="expected a folder, found none"):
        list(LocalStore(tmp_path, ["raw"]).list_objects("raw", since=None))


def test_a_file_without_its_folder_is_no_deleted_file(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    store = LocalStore(tmp_path, ["raw"])
    with pytest.raises(ObjectGone, match="Was it moved or deleted"):
        store.resolve("raw/a.csv")
    (tmp_path / "raw").rmdir()

    with pytest.raises(StoreError, match="Is it mounted") as told:
        store.resolve("raw/a.csv")

    assert not isinstance(told.value, ObjectGone)
