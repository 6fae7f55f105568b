"""Label kinds: what an answer may be, one small module each."""

from __future__ import annotations

from types import MappingProxyType

from retrue.kinds.choice import Choice
from retrue.kinds.choices import Choices
from retrue.kinds.number import Number
from retrue.kinds.protocol import Aggregate, Classes, Kind
from retrue.kinds.schema import CANNOT_TELL, NONE_OF_THESE, OUTCOMES, BadLabel, LabelSchema
from retrue.kinds.taxonomy import Taxonomy

__all__ = [
    "CANNOT_TELL",
    "KINDS",
    "NONE_OF_THESE",
    "OUTCOMES",
    "Aggregate",
    "BadLabel",
    "Classes",
    "Kind",
    "LabelSchema",
    "kind_of",
]

KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {"choice": Choice(), "choices": Choices(), "taxonomy": Taxonomy(), "number": Number()}
)


def kind_of(schema: LabelSchema) -> Kind:
    """The kind a schema names.

    >>> kind_of(LabelSchema(kind="number")).aggregate
    'numeric'
    """
    return KINDS[schema.kind]
