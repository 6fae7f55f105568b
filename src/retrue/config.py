"""The configuration of a workspace: `configs/project.yaml` and `configs/labels.yaml` beside it.

Unknown keys are refused, every mistake is reported at once with its path, `${NAME}` is replaced
from the environment, and secrets are read from nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from retrue.errors import ConfigError
from retrue.kinds import NONE_OF_THESE, LabelSchema
from retrue.kinds import migration as kinds
from retrue.records import AnnotatorGroup, Stream
from retrue.secrecy import guard_logs, remember

__all__ = [
    "Annotators",
    "Config",
    "Data",
    "Drift",
    "Email",
    "FieldRule",
    "Guideline",
    "Labels",
    "LabelsUse",
    "Media",
    "Metrics",
    "Migration",
    "Model",
    "Notify",
    "Probe",
    "Queue",
    "RoundPolicy",
    "Select",
    "Store",
    "StreamSource",
    "Train",
    "Validation",
    "load_config",
    "load_labels",
    "refuse_unset",
    "unset_variables",
]

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
PROJECT_FILE = Path("configs/project.yaml")
_SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|credential|webhook")
SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldRule(Section):
    """How one declared field is read. Cleaning never enters a sample's identity."""

    type: Literal["number", "category", "text", "time", "boolean"] = "category"
    missing: tuple[str | float, ...] = ("", "NA", "N/A", "nan", "null", "None")
    names: Mapping[str, str] = {}  # spelling -> canonical name
    factor: float = 1.0  # number: multiplied, for unit conversion
    minimum: float | None = None  # outside -> quarantined
    maximum: float | None = None
    required: bool = False  # missing -> quarantined


class StreamSource(Section):
    """Where one stream's objects are, and which columns mean what."""

    uri: str
    key: str | None = None  # identity column; for media: the file's stem. None: hash of content
    time: str | None = None
    media: str | None = None  # column with the media's path below `media_root`
    media_root: str | None = None  # default: `uri`
    metadata: str | None = None  # table with one row per media object, joined by `key`
    probabilities: str | None = None  # inference: pattern of columns, "p_*"; class = what * matches
    model_version: str | None = None  # inference: column naming the model that scored the row
    truth: str | None = None  # inference: column with delayed outcomes
    look_back_hours: Annotated[float, Field(ge=0)] = 24.0  # keys that arrive late are still found
    names_rise: bool = False  # names rise with time: only those since the look-back are listed


class Consent(Section):
    """Rows whose column is not true never become candidates."""

    column: str


class Data(Section):
    """What a sample is."""

    kind: Literal["table", "text", "image", "other"]
    incoming: StreamSource | None = None
    inference: StreamSource | None = None
    fields: Mapping[str, FieldRule] | None = None  # None: every column, types as stored
    text: str | None = None  # kind text: the column
    display: tuple[str, ...] | None = None  # what annotators see; None: all declared fields
    group: str | None = None
    subject: str | None = None
    consent: Consent | None = None
    keep_media: bool = True  # labelled media are kept with the round, so versions rebuild offline

    @model_validator(mode="after")
    def _has_a_stream(self) -> Data:
        if self.incoming is None and self.inference is None:
            raise ValueError("expected `incoming` or `inference`, got neither")
        if self.kind == "text" and self.text is None:
            raise ValueError("kind text needs `text`: the name of the text column")
        return self

    def stream(self, name: Stream) -> StreamSource | None:
        """The source of a stream, None where it is not configured."""
        return self.incoming if name == "incoming" else self.inference


class LabelsUse(Section):
    """The label file, and how many answers each use needs."""

    file: Path = Path("configs/labels.yaml")
    answers_per_item: Mapping[Literal["train", "audit"], Annotated[int, Field(ge=1, le=20)]] = {
        "train": 1,
        "audit": 2,
    }


class Annotators(Section):
    """Who is asked; a name that is in no group counts as crowd."""

    crowd: tuple[str, ...] = ()
    expert: tuple[str, ...] = ()
    adjudicator: tuple[str, ...] = ()
    program: tuple[str, ...] = ()

    def group_of(self, annotator: str) -> AnnotatorGroup:
        """The group of one annotator."""
        if annotator in self.expert:
            return "expert"
        if annotator in self.adjudicator:
            return "adjudicator"
        return "program" if annotator in self.program else "crowd"


class Media(Section):
    """How Label Studio reaches media in S3. It stores the keys and signs links when asked."""

    keys: Literal["ours", "server"] = "ours"  # server: Label Studio has keys or a role of its own
    access_key: SecretStr | None = None  # None: the AWS environment's; may read and nothing else
    secret_key: SecretStr | None = None
    endpoint: str | None = None  # as it and browsers reach it; None: AWS_ENDPOINT_URL, or AWS
    link_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    proxied: bool = False  # media pass through Label Studio; browsers never see the store

    @model_validator(mode="after")
    def _both_keys(self) -> Media:
        # With one of them the AWS environment's, which may do more, would be handed over instead.
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("expected access_key and secret_key, got one of them alone")
        return self


class Queue(Section):
    """Where people answer."""

    use: Literal["files", "label_studio"] = "files"
    path: Path = Path("local/queue")  # files only
    url: str | None = None
    api_key: SecretStr | None = None  # environment LABEL_STUDIO_API_KEY
    annotators: Annotators = Annotators()
    page: Path | None = None  # label_studio: the team's own labeling XML; None: made from labels
    media: Media = Media()

    @property
    def tool(self) -> str:
        """Where people answer, in words."""
        return "in Label Studio" if self.use == "label_studio" else "with `retrue label`"


class Probe(Section):
    """The small random look after an alarm."""

    labels: Annotated[int, Field(ge=10)] = 40
    max: Annotated[int, Field(ge=10)] = 120
    margin: Share = 0.05  # a loss of accuracy up to this is harmless


class Drift(Section):
    """The false-alarm budget and how big a shift must be to matter."""

    false_alarms_per_year: Annotated[float, Field(gt=0, lt=1)] = 0.05
    checks_per_year: Annotated[int, Field(ge=1)] = 52
    floor: Share = 0.1  # KS distance and total variation
    floor_classifier: Annotated[float, Field(ge=0.5, le=1)] = 0.6  # out-of-fold AUC
    probe: Probe = Probe()


class Caps(Section):
    """What a day and a month may cost at most, in labels, and the price of one."""

    round: Count | None = None
    day: Count | None = None
    month: Count | None = None
    cost_per_label: str = "0 EUR"

    @model_validator(mode="after")
    def _price(self) -> Caps:
        if not re.fullmatch(r"\d+(\.\d+)? [A-Z]{3}", self.cost_per_label):
            raise ValueError(f'cost_per_label: expected "0.12 EUR", got "{self.cost_per_label}"')
        return self

    @property
    def price(self) -> tuple[float, str]:
        """Amount and currency."""
        amount, currency = self.cost_per_label.split()
        return float(amount), currency


class Shares(Section):
    """How a round's budget is divided."""

    audit: Annotated[float, Field(gt=0, le=1)] = 0.2
    random: Share = 0.1
    active: Share = 0.6
    novel: Share = 0.1

    @model_validator(mode="after")
    def _sum(self) -> Shares:
        total = self.audit + self.random + self.active + self.novel
        if abs(total - 1) > 1e-6:
            raise ValueError(f"expected shares that sum to 1, got {total:g}")
        return self


class Select(Section):
    """What is worth a label."""

    budget: Annotated[int, Field(ge=1)] = 300
    bootstrap: Annotated[int, Field(ge=2)] | None = None  # first round; None: `budget`
    bootstrap_audit: Share = 0.5  # share of the first round kept for evaluation
    eval_share: Share = 1.0  # share of audited groups kept for evaluation; the rest may train
    shares: Shares = Shares()
    quotas: Mapping[str, Count] = {}  # class -> labels a round reserves for it
    caps: Caps = Caps()
    seed: str = "retrue"
    near_duplicate: Share = 0.98  # cosine


class RoundPolicy(Section):
    """Who opens rounds and how long they wait."""

    open: Literal["auto", "ask"] = "ask"
    timeout_days: Annotated[float, Field(gt=0)] = 14.0  # unanswered training tasks are let go
    grace_days: Annotated[float, Field(ge=0)] = 30.0  # late answers change the next version


class Validation(Section):
    """How answers become verdicts."""

    min_confidence: Share = 0.6  # below: disputed
    dispute_group: AnnotatorGroup = "adjudicator"
    dispute_answers: Annotated[int, Field(ge=1)] = 1
    dispute_max: Share = 0.25  # at most this share of a round is asked again
    too_fast_seconds: Annotated[float, Field(ge=0)] = 0.5
    skill_floor: Share = 0.7  # an annotator surely under it is named
    priority: Literal["audit", "all"] = "all"


class Metrics(Section):
    """The number everything is judged by, and slices that must not get worse."""

    primary: Literal["accuracy", "recall"] = "accuracy"
    class_: str | None = Field(default=None, alias="class")  # recall: whose
    slices: tuple[str, ...] = ()  # fields; every value of each is watched at the gate
    slice_margin: Share = 0.05  # the loss a slice may bear

    @model_validator(mode="after")
    def _recall_of(self) -> Metrics:
        if self.primary == "recall" and self.class_ is None:
            raise ValueError("recall needs `class`: the class that must be found")
        return self


class Train(Section):
    """When and how a model is trained."""

    when: Literal["new_version"] = "new_version"  # the only occasion this version knows
    command: str | None = None  # shell; {dataset} and {output} are folders
    score: str | None = None  # shell; {model}, {samples} and {output}
    entry_point: str | None = None  # "package.module:function"
    seed: int = 0
    options: Mapping[str, str | int | float | bool] = {}  # handed to the pipeline


class Model(Section):
    """Name in the registry, and who promotes."""

    name: str | None = None  # None: the project's name
    promote: Literal["auto", "ask"] = "ask"
    margin: Share = 0.0  # smallest gain worth a promotion
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    tracking_uri: str | None = None  # environment MLFLOW_TRACKING_URI; None: in the workspace


class Store(Section):
    """Where versions go."""

    dvc_remote: str | None = None  # None: a folder in the workspace, for trying out
    git_remote: str = "origin"
    branch: str = "retrue/data"
    ledger: SecretStr | None = None  # SQLAlchemy URL; None: SQLite in the workspace


class Email(Section):
    """Where mail is handed in; encrypted where offered, and a password goes no other way."""

    to: Annotated[tuple[str, ...], Field(min_length=1)]
    from_: str = Field(alias="from")
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587  # 465: TLS from the first word
    user: str | None = None  # None: the server wants no login
    password: SecretStr | None = None  # environment RETRUE_SMTP_PASSWORD

    @model_validator(mode="after")
    def _login(self) -> Email:
        wrong = [one for one in (*self.to, self.from_) if not re.fullmatch(r"[^@\s]+@[^@\s]+", one)]
        if wrong:
            raise ValueError(f'to and from: expected addresses, "me@example.com", got {wrong}')
        return self


class Notify(Section):
    """Who is told of an incident, once."""

    webhook: SecretStr | None = None
    email: Email | None = None


class Config(Section):
    """One workspace = one question to annotators."""

    version: Literal[1] = 1
    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    data: Data
    labels: LabelsUse = LabelsUse()
    queue: Queue = Queue()
    drift: Drift = Drift()
    select: Select = Select()
    validate_: Validation = Field(default=Validation(), alias="validate")
    round: RoundPolicy = RoundPolicy()
    metrics: Metrics = Metrics()
    train: Train = Train()
    model: Model = Model()
    store: Store = Store()
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _media_can_be_opened(self) -> Config:
        if self.queue.use == "label_studio":
            sources = [one for one in (self.data.incoming, self.data.inference) if one is not None]
            with_media = [one for one in sources if one.media or self.data.kind == "image"]
            roots = [one.media_root or one.uri for one in with_media]
            local = [root for root in roots if not root.startswith(("s3://", "http"))]
            if local:
                raise ValueError(
                    f"queue.use label_studio cannot open files of this machine ({local[0]}): keep "
                    "media in S3 (`retrue stack up` starts one), or use `files` and `retrue label`"
                )
        return self

    @property
    def model_name(self) -> str:
        """The model's name in the registry."""
        return self.model.name or self.project


class Guideline(Section):
    """What annotators are told; a new version asks under a new project."""

    version: str = "1"
    text: str = ""


class Migration(Section):
    """One declared step from a schema version to the next."""

    to: Annotated[int, Field(ge=2)]
    op: Literal["add", "rename", "merge", "split", "drop"]
    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()


class Labels(Section):
    """`configs/labels.yaml`: names, versions, migrations, guideline."""

    version: Annotated[int, Field(ge=1)] = 1
    kind: Literal["choice", "choices", "taxonomy", "number"]
    question: str = ""
    classes: tuple[str, ...] = ()
    separator: str = "/"
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    max_choices: int | None = None
    guideline: Guideline = Guideline()
    migrations: tuple[Migration, ...] = ()

    @model_validator(mode="after")
    def _classes(self) -> Labels:
        if self.kind != "number" and len(self.classes) < 2:
            raise ValueError(f"kind {self.kind} needs at least two classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: expected each name once")
        later = [m.to for m in self.migrations if m.to > self.version]
        if later:
            raise ValueError(f"migrations: to {later} is later than version {self.version}")
        _ = self.label_schema  # says what contradicts itself
        return self

    @property
    def label_schema(self) -> LabelSchema:
        """The schema of the current version, as `retrue.kinds` knows it."""
        return LabelSchema(
            kind=self.kind,
            classes=self.classes,
            separator=self.separator,
            minimum=self.minimum,
            maximum=self.maximum,
            unit=self.unit,
            tolerance=self.tolerance,
            max_choices=self.max_choices,
        )

    def migrate(self, label: str, old: int, new: int | None = None) -> str | None:
        """A label of one schema version in the names of another; None: ask a person again.

        Args:
            label: Canonical JSON.
            old: The version it was written in.
            new: The version wanted; None: today's.
        """
        last = self.version if new is None else new
        steps = [
            kinds.Migration(op=step.op, source=step.source, target=step.target)
            for step in self.migrations
            if old < step.to <= last
        ]
        # A new class may be what people meant by "none of these".
        if any(step.op == "add" for step in steps) and label == f'"{NONE_OF_THESE}"':
            return None
        return kinds.migrate_label(label, steps, self._schema_of(last)) if steps else label

    def _schema_of(self, version: int) -> LabelSchema:
        """Today's schema, or one that knows every name there ever was for an earlier version."""
        if version == self.version or self.kind == "number":
            return self.label_schema
        ever = (name for step in self.migrations for name in (*step.source, *step.target))
        return replace(self.label_schema, classes=tuple(dict.fromkeys((*self.classes, *ever))))


def load_config(root: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read `configs/project.yaml` of a workspace.

    Raises:
        ConfigError: The file is missing or wrong; every mistake is listed with its path.
    """
    env = os.environ if environ is None else environ
    config = _read(root / PROJECT_FILE, Config, env)
    return config.model_copy(
        update={
            "queue": config.queue.model_copy(
                update={
                    "url": env.get("LABEL_STUDIO_URL") or config.queue.url,
                    "api_key": _secret(env, "LABEL_STUDIO_API_KEY") or config.queue.api_key,
                }
            ),
            "model": config.model.model_copy(
                update={"tracking_uri": env.get("MLFLOW_TRACKING_URI") or config.model.tracking_uri}
            ),
            "notify": _with_password(config.notify, env),
        }
    )


def load_labels(root: Path, config: Config) -> Labels:
    """Read the label file the config names.

    Raises:
        ConfigError: As for `load_config`.
    """
    return _read(root / config.labels.file, Labels, os.environ)


def refuse_unset(root: Path, environ: Mapping[str, str] | None = None) -> None:
    """Refuse a project file that names environment variables nobody set, before work is done.

    Without them a default would stand in, and the work would go to another ledger or registry than
    meant. Reading versions needs none of them. Of `queue` and `notify` each says itself what lacks,
    but for `queue.media`, where keys that may do more would stand in.

    Raises:
        ConfigError: Every such place, with its variable.
    """
    places = [
        f"  {place}: ${{{name}}}"
        for place, name in unset_variables(root, os.environ if environ is None else environ)
        if place.startswith("queue.media.") or place.split(".")[0] not in {"queue", "notify"}
    ]
    if places:
        first = f"{PROJECT_FILE}: expected these environment variables, which are not set"
        raise ConfigError("\n".join([first, *places]))


def unset_variables(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Places of the project file that name an environment variable nobody set, and its name."""
    raw = cast("object", yaml.safe_load((root / PROJECT_FILE).read_text("utf-8")))
    return ((place, name) for place, name in _names(raw, "") if not environ.get(name))


def _names(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Where the file names which environment variable, in order of places."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        for key in sorted(items):
            yield from _names(items[key], f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _names(item, f"{place}.{number}")
    elif isinstance(value, str):
        yield from ((place, name) for name in cast("list[str]", re.findall(r"\$\{(\w+)\}", value)))


def _with_password(notify: Notify, env: Mapping[str, str]) -> Notify:
    password = _secret(env, "RETRUE_SMTP_PASSWORD")
    if notify.email is None or password is None:
        return notify
    return notify.model_copy(
        update={"email": notify.email.model_copy(update={"password": password})}
    )


def _secret(env: Mapping[str, str], name: str) -> SecretStr | None:
    value = env.get(name)
    return SecretStr(value) if value else None


def _read(path: Path, section: type[SectionT], env: Mapping[str, str]) -> SectionT:
    try:
        raw = cast("object", yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: expected a configuration file, found none. "
            "Go to a workspace folder, or make one with `retrue init DIR`."
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark  # its own text quotes the line, which may hold a secret
        where = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise ConfigError(f"{path}{where}: expected YAML, got: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected YAML, got: {error}") from error
    try:
        read = section.model_validate(_fill(raw, env, path))
    except ValidationError as error:
        # Without its cause, which quotes every value.
        raise ConfigError(_mistakes(path, error, section, raw)) from None
    remember(_secrets(read))
    guard_logs()
    return read


def _secrets(value: object) -> Iterator[str]:
    """Every secret a section holds, and addresses, which may hold a password."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(cast("object", getattr(value, name)))
    elif isinstance(value, str) and re.search(r"://[^/\s]+@", value):
        yield value


def _fill(value: object, env: Mapping[str, str], path: Path) -> object:
    """Replace ${NAME} in every text."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        return {key: _fill(item, env, path) for key, item in items.items()}
    if isinstance(value, list):
        return [_fill(item, env, path) for item in cast("list[object]", value)]
    if isinstance(value, str):
        names = cast("list[str]", re.findall(r"\$\{(\w+)\}", value))
        remember(env[name] for name in names if name in env and _SECRET_NAME.search(name))
        return re.sub(r"\$\{(\w+)\}", lambda found: env.get(found[1], ""), value) or None
    return value


def _mistakes(path: Path, error: ValidationError, section: type[BaseModel], raw: object) -> str:
    """Every mistake; a value is shown as the file has it, and a secret one not at all."""
    lines = [f"{path}: {error.error_count()} mistake(s)"]
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        got = _written(raw, item["loc"])
        hide = isinstance(got, dict | list) or item["type"] == "missing"
        shown = "" if hide or _is_secret(section, item["loc"]) else f", got {got!r}"
        lines.append(f"  {where}: {item['msg'].removeprefix('Value error, ')}{shown}")
    return "\n".join(lines)


def _written(raw: object, where: tuple[int | str, ...]) -> object:
    """What the file has at a place; None where it has nothing."""
    for part in where:
        if isinstance(raw, dict):
            raw = cast("dict[object, object]", raw).get(part)
        elif isinstance(raw, list) and isinstance(part, int):
            raw = cast("list[object]", raw)[part]
    return cast("object", raw)


def _is_secret(section: type[BaseModel], where: tuple[int | str, ...]) -> bool:
    """Whether a place of the configuration holds a secret."""
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    field = fields.get(str(where[0])) if where else None
    if field is None:
        return False
    inner = next((one for one in _types(field.annotation) if issubclass(one, BaseModel)), None)
    if inner is None:
        return SecretStr in _types(field.annotation)
    return _is_secret(inner, where[1:])


def _types(annotation: object) -> list[type]:
    """The classes a field may hold: `A | None` is A and None."""
    parts = get_args(annotation) or (annotation,)
    return [part for part in parts if isinstance(part, type)]
