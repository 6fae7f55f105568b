"""The decision that fixes what a dataset version joins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from retrue.errors import RecordError
from retrue.records import Decision, Json

__all__ = ["VersionPlan", "version_data", "version_plan", "version_plans"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """What a decision of kind `version` says."""

    version: int  # >= 1
    verdict_files: tuple[str, ...]  # "<round>/<file>"
    schema_version: int  # labels are given under this one
    guideline_version: str
    eval_share: float  # share of audited groups kept for evaluation, 0..1
    temporal_cutoff: datetime | None  # older audit samples are for training; None: no cutoff
    at: datetime  # when it was decided


def version_data(plan: VersionPlan) -> dict[str, Json]:
    """The plan as the data of its decision; `version_plan` reads it back."""
    cutoff = plan.temporal_cutoff
    return {
        "version": plan.version,
        "verdict_files": list(plan.verdict_files),
        "schema_version": plan.schema_version,
        "guideline_version": plan.guideline_version,
        "eval_share": plan.eval_share,
        "temporal_cutoff": None if cutoff is None else cutoff.isoformat(),
    }


def version_plan(decision: Decision) -> VersionPlan:
    """Read one decision.

    Raises:
        RecordError: It does not say what a version decision must; the message names the key.
    """
    data = decision.data
    try:
        return VersionPlan(
            version=_whole(data, "version"),
            verdict_files=_files(data),
            schema_version=_whole(data, "schema_version"),
            guideline_version=_text(data, "guideline_version"),
            eval_share=_share(data),
            temporal_cutoff=_cutoff(data),
            at=decision.at,
        )
    except (TypeError, ValueError) as error:
        raise RecordError(
            f"decision version/{decision.decision_id}: {error}. Restore it with `dvc checkout`."
        ) from error


def version_plans(decisions: Iterable[Decision]) -> list[VersionPlan]:
    """The plans of all `version` decisions, by version.

    Raises:
        RecordError: A decision cannot be read, or two are about the same version.
    """
    plans = sorted(
        (version_plan(decision) for decision in decisions if decision.kind == "version"),
        key=lambda plan: plan.version,
    )
    numbers = [plan.version for plan in plans]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise RecordError(
            f"dataset version {twice[0]}: expected one decision, got several. Keep the one whose "
            "version is tagged in git."
        )
    return plans


def _whole(data: Mapping[str, Json], key: str) -> int:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{key}: expected a whole number >= 1, got {value!r}")
    return value


def _text(data: Mapping[str, Json], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise TypeError(f"{key}: expected text, got {value!r}")
    return value


def _share(data: Mapping[str, Json]) -> float:
    value = data.get("eval_share")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"eval_share: expected 0..1, got {value!r}")
    return float(value)


def _files(data: Mapping[str, Json]) -> tuple[str, ...]:
    value = data.get("verdict_files")
    if not isinstance(value, list):
        raise TypeError(f"verdict_files: expected a list, got {value!r}")
    names = [name for name in value if isinstance(name, str) and name.count("/") == 1]
    if len(names) != len(value) or len(set(names)) != len(names):
        raise ValueError(f'verdict_files: expected "<round>/<file>", each once, got {value!r}')
    return tuple(names)


def _cutoff(data: Mapping[str, Json]) -> datetime | None:
    value = data.get("temporal_cutoff")
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"temporal_cutoff: expected a time or null, got {value!r}")
    cutoff = datetime.fromisoformat(value)
    if cutoff.tzinfo is None:
        raise ValueError(f"temporal_cutoff: expected a time with a zone, got {value!r}")
    return cutoff
