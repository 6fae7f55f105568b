from __future__ import annotations

import pytest

from retrue.acts.adopting_models import adopt_model, spec_of
from retrue.adapters.model_files import ModelSpec
from retrue.errors import ConfigError, ModelError
from retrue.records import ModelVersion
from small_world import NOON, SmallWorld, a_config, fruit_labels


class Registry:
    """Takes models in and remembers what it was told of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ModelSpec]] = []

    def adopt(self, model_uri, *, spec, now):
        self.asked.append((model_uri, spec))
        return ModelVersion(
            name="fruit",
            version="1",
            run_id="r",
            dataset_version=None,
            dataset_digest="",
            aliases=("challenger",),
            created_at=now,
        )


def test_a_models_columns_and_classes_are_read_off_the_configuration():
    spec = spec_of(a_config(), fruit_labels(classes=["pear", "apple"]))

    assert spec.trainer == "adopted"
    assert spec.features == {"weight": "number", "color": "category"}
    assert list(spec.features) == ["weight", "color"]
    assert spec.classes == ('"apple"', '"pear"')


def test_classes_are_taken_in_the_order_a_person_gives():
    spec = spec_of(a_config(), fruit_labels(), ["pear", "apple"])

    assert spec.classes == ('"pear"', '"apple"')


def test_a_table_without_declared_fields_cannot_feed_a_foreign_model():
    config = a_config(data={"kind": "table", "incoming": {"uri": "in"}})

    with pytest.raises(ConfigError, match=r"data\.fields"):
        spec_of(config, fruit_labels())


@pytest.mark.parametrize(
    ("given", "asked"), [("old", "models:/old/latest"), ("runs:/1/model", "runs:/1/model")]
)
def test_a_name_stands_for_its_newest_version_and_a_uri_for_itself(tmp_path, given, asked):
    world = SmallWorld(tmp_path)
    world.models = Registry()

    adopt_model(world.workspace(), given, now=NOON)

    assert [uri for uri, _ in world.models.asked] == [asked]


def test_a_registry_that_takes_nothing_in_says_so(tmp_path):
    with pytest.raises(ModelError, match="takes no models"):
        adopt_model(SmallWorld(tmp_path).workspace(), "old", now=NOON)
