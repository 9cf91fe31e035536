"""The types of the run file: its sections, keys and what they refer to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from dask.utils import parse_bytes
from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.errors import InputError
from engine.sources.composite import terms_of
from engine.sources.entry import AnySource, FormulaSpec
from engine.sources.formula import names_in, units_of
from engine.sources.spec import SourceSpec, in_order
from engine.storage.paths import problem_of
from pipelines.runfile.model_section import Model, Selection
from pipelines.runfile.nearest import nearest
from pipelines.runfile.observations_section import Observations
from pipelines.runfile.section import Section
from pipelines.runfile.target import Target

TOTAL = "total"
"""What tables by zone call the whole region."""


class Mask(Section):
    """Narrows the domain by a covariate: cells outside the range, or of other classes, are missing."""

    covariate: str = Field(description="name of the covariate")
    min: float | None = Field(None, description="lowest value that is mapped, in the covariate's units")
    max: float | None = Field(None, description="highest value that is mapped")
    classes: tuple[str, ...] | None = Field(None, description="classes that are mapped, of a category")

    @model_validator(mode="after")
    def _some_condition(self) -> Self:
        if self.min is None and self.max is None and self.classes is None:
            raise ValueError("give `min`, `max` or `classes`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min:g} is above `max` {self.max:g}, so that no cell would be mapped")
        return self


class Domain(Section):
    """Where to map, and on which grid."""

    boundary: str | None = Field(None, description="polygons in any CRS that declares itself")
    bounds: tuple[float, float, float, float] | None = Field(None, description="west, south, east, north, degrees")
    crs: str = Field("EPSG:6931", description="CRS of the grid, best equal-area")
    resolution: float = Field(1000.0, gt=0, description="cell side, m")
    chunk: int | None = Field(None, ge=16, le=8192, description="cells per block side; by default from the grid's size")
    mask: Mask | None = None

    @model_validator(mode="after")
    def _one_outline(self) -> Self:
        if (self.boundary is None) == (self.bounds is None):
            raise ValueError("give either `boundary` (a polygon file) or `bounds` ([west, south, east, north])")
        if self.bounds:
            west, south, east, north = self.bounds
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ValueError(
                    f"`bounds` {list(self.bounds)} is not [west, south, east, north] in degrees, with west < east "
                    "within ±180 and south < north within ±90"
                )
        return self


class TLS(Section):
    """Certificates for a scheduler at tls://…, as files."""

    ca: str = Field(description="certificate of the authority")
    cert: str = Field(description="certificate of this client")
    key: str = Field(description="file of its private key")


class Adaptive(Section):
    """Between how many workers a cluster grows and shrinks with the work.

    A scheduler that runs already (`kind: address`) scales its workers itself; `maximum` then says how many it may
    start, so that it sees work for as many.
    """

    minimum: int = Field(1, ge=0, description="workers that are always there")
    maximum: int = Field(ge=1, description="most workers")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"`minimum` {self.minimum} is more than `maximum` {self.maximum}")
        return self


class Cluster(Section):
    """Where the tasks run."""

    kind: str = Field(
        "local",
        pattern=r"^(local|address|ssh|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+)$",
        description="local: workers of its own on this machine; address: join a scheduler that runs already; ssh: "
        "start workers on `hosts`; or the dotted name of a Dask cluster class, e.g. `dask_jobqueue.SLURMCluster`",
    )
    address: str | None = Field(None, description="of a running scheduler, e.g. tcp://10.0.0.1:8786")
    tls: TLS | None = None
    hosts: tuple[str, ...] = Field((), description="of ssh: the first runs the scheduler, the others workers")
    workers: int | None = Field(None, ge=1, description="worker processes; default: one per core (local)")
    adaptive: Adaptive | None = None
    threads: int = Field(1, ge=1, description="threads of each worker (local, ssh)")
    memory: str | None = Field(
        None, description="limit of each worker, e.g. 2GB (local, ssh); default: a fair share of 80 %"
    )
    options: dict[str, Any] = Field({}, description="arguments of the cluster class")
    timeout: float = Field(120.0, gt=0, description="how long the first worker may take to start, s")

    @field_validator("memory")
    @classmethod
    def _in_bytes(cls, memory: str | None) -> str | None:
        try:
            if memory is not None:
                parse_bytes(memory)
        except ValueError:
            raise ValueError(f"{memory!r} is not an amount of memory; expected e.g. 2GB or 1500MiB") from None
        return memory

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if self.kind == "address" and not self.address:
            raise ValueError("`kind: address` needs `address`, e.g. {kind: address, address: tcp://10.0.0.1:8786}")
        if self.kind != "address" and (self.address or self.tls):
            raise ValueError("`address` and `tls` go with `kind: address`; other kinds start their own workers")
        if self.tls and self.address and not self.address.startswith("tls://"):
            raise ValueError(f"`tls` needs a scheduler at tls://…, not {self.address}")
        if (self.kind == "ssh") != bool(self.hosts):
            raise ValueError("`kind: ssh` and `hosts` go together, e.g. {kind: ssh, hosts: [node1, node1, node2]}")
        if self.kind == "ssh" and len(self.hosts) < 2:
            raise ValueError("`hosts` needs two or more: where the scheduler runs, then where workers run (may repeat)")
        if self.adaptive and self.kind == "ssh":
            raise ValueError("`adaptive` does not go with `kind: ssh`: its workers are given")
        if self.workers and self.adaptive:
            raise ValueError("give `workers` (a fixed number) or `adaptive`, not both")
        if self.options and self.kind in ("local", "address"):
            raise ValueError(f"`options` are those of a cluster class; `kind: {self.kind}` has none")
        if "." in self.kind and (self.memory or self.threads > 1):
            raise ValueError(f"threads and memory of {self.kind}'s workers are set in its `options`")
        return self


class Provider(Section):
    """Who stands behind the maps."""

    name: str = Field(min_length=1, description="of the person, group or institution")
    url: str | None = Field(None, description="its page")
    roles: tuple[Literal["licensor", "producer", "processor", "host"], ...] = Field(
        ("processor",), description="as in STAC"
    )


class Output(Section):
    """Where the results go, and what their catalogue says of them."""

    licence: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.+-]+$",
        description="of the maps: SPDX identifier, e.g. CC-BY-4.0; default: not stated, and the catalogue says so",
    )
    providers: tuple[Provider, ...] = Field((), description="who made the maps")
    period: Annotated[tuple[int, int] | None, AfterValidator(in_order)] = Field(
        None, description="first and last year that the maps stand for; default: from the covariates' periods"
    )
    dir: str = Field(
        description="results folder, shared by client and workers and made where it is not there; or s3://BUCKET/PREFIX"
    )

    @field_validator("dir")
    @classmethod
    def _is_place(cls, path: str) -> str:
        if problem := problem_of(path):
            raise ValueError(problem)
        return path


class Figures(Section):
    """What the figures show."""

    permafrost: str | None = Field(
        None,
        description="what Figure 1 shows the permafrost by: a covariate, `boundary` (the domain is the permafrost "
        "region) or `none`; default: a covariate whose name or label speaks of permafrost",
    )


def _depth(interval: tuple[float, float]) -> tuple[float, float]:
    top, bottom = interval
    if not 0 <= top < bottom:
        raise ValueError(
            f"[{top:g}, {bottom:g}] is not a depth interval: give [top, bottom] in cm with 0 ≤ top < bottom"
        )
    return interval


Depth = Annotated[tuple[float, float], AfterValidator(_depth)]


def _each_once(depths: tuple[Depth, ...]) -> tuple[Depth, ...]:
    if len(set(depths)) < len(depths):
        raise ValueError(f"an interval is listed twice in {[list(d) for d in depths]}")
    return depths


class RunFile(Section):
    """A whole run. Paths are relative to the folder of the run file (`base`)."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="short name, of letters, digits, dots, dashes, underscores"
    )
    title: str | None = Field(None, description="heading of the report; default: the name")
    synthetic: bool = Field(False, description="made-up data: every output says so")
    data: str = Field(".", description="folder that covariates and observations are in, from the run file's folder")
    domain: Domain
    covariates: dict[str, AnySource] = Field(min_length=1, description="name → where it comes from; all are needed")
    observations: Observations
    target: Target = Target()
    depths: Annotated[tuple[Depth, ...], AfterValidator(_each_once)] = Field(
        min_length=1, description="cm; the first is modelled, the others regressed on it"
    )
    selection: Selection = Selection()
    model: Model = Model()
    zones: str | AnySource | None = Field(None, description="a categorical covariate, or a source with classes")
    cluster: Cluster = Cluster()
    output: Output
    figures: Figures = Figures()
    truth: str | None = Field(None, description="a Zarr store with the true densities; only a virtual region has one")

    @property
    def depth_labels(self) -> tuple[str, ...]:
        """Labels such as `0-30`."""
        return tuple(f"{top:g}-{bottom:g}" for top, bottom in self.depths)

    @field_validator("covariates")
    @classmethod
    def _plain_names(cls, covariates: dict[str, SourceSpec]) -> dict[str, SourceSpec]:
        for name in covariates:
            if not name.isidentifier() or name in ("x", "y", "spatial_ref", "domain", "zone"):
                raise ValueError(
                    f"{name!r} cannot name a covariate: use letters, digits and _; x, y, domain, zone are taken"
                )
        return with_units(covariates)

    @field_validator("zones")
    @classmethod
    def _in_classes(cls, zones: str | SourceSpec | None) -> str | SourceSpec | None:
        if isinstance(zones, SourceSpec) and not zones.is_categorical:
            raise ValueError("a source of zones needs `classes` (zone name → codes)")
        return zones

    @field_validator("truth")
    @classmethod
    def _only_made_up(cls, truth: str | None, info: ValidationInfo) -> str | None:
        if truth and not info.data.get("synthetic", True):
            raise ValueError("only a virtual region (`synthetic: true`) has a known truth")
        return truth

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> Self:
        dangling = dangling_references(self)
        if dangling:
            raise ValueError("\n".join(f"{'.'.join(location)}: {text}" for location, text in dangling))
        return self


@dataclass(frozen=True)
class Draft:
    """The sound parts of a run file that has problems: enough to go on looking for others.

    Attributes
    ----------
    domain, observations, target, depths, selection, model, zones, cluster, figures
        None where the part is missing or has problems.
    covariates : dict
        Those that have no problem.
    unsound : frozenset of str
        Names of the other covariates.
    """

    data: str
    domain: Domain | None
    covariates: dict[str, SourceSpec]
    unsound: frozenset[str]
    observations: Observations | None
    target: Target | None
    depths: tuple[Depth, ...] | None
    selection: Selection | None
    model: Model | None
    zones: str | SourceSpec | None
    cluster: Cluster | None
    figures: Figures | None

    @classmethod
    def of(cls, entries: dict[str, Any]) -> "Draft":
        """Keep what validates by itself."""
        listed = entries.get("covariates")
        specs = {name: _sound(AnySource, e) for name, e in listed.items()} if isinstance(listed, dict) else {}

        def part(name: str) -> Any:
            field = RunFile.model_fields[name]
            if name in entries:
                kind: Any = field.annotation
                return _sound(Annotated[kind, *field.metadata] if field.metadata else kind, entries[name])
            return None if field.is_required() else field.default

        return cls(
            covariates={name: spec for name, spec in specs.items() if spec is not None},
            unsound=frozenset(name for name, spec in specs.items() if spec is None),
            data=part("data") or ".",
            **{
                key: part(key)
                for key in (
                    "domain",
                    "observations",
                    "target",
                    "depths",
                    "selection",
                    "model",
                    "zones",
                    "cluster",
                    "figures",
                )
            },
        )


def _sound(kind: Any, entry: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(entry)
    except ValidationError:
        return None


def dangling_references(run: RunFile | Draft) -> list[tuple[tuple[str, ...], str]]:
    """Return keys that name an absent covariate or one of the wrong kind, with the problem; unsound ones pass."""
    unsound = run.unsound if isinstance(run, Draft) else frozenset()
    names = (*run.covariates, *sorted(unsound))
    wrong: list[tuple[tuple[str, ...], str]] = []

    def check(location: tuple[str, ...], name: str, categorical: bool | None = None) -> None:
        spec = run.covariates.get(name)
        if name not in names:
            wrong.append((location, f"{name!r} is not among the covariates{nearest(name, names)}"))
        elif spec and categorical and not spec.is_categorical:
            wrong.append((location, f"{name!r} is a number, not a category; a category has `classes`"))
        elif spec and categorical is False and spec.is_categorical:
            wrong.append((location, f"{name!r} is a category: give `classes`, not `min` or `max`"))

    if not names:
        return []
    if run.domain and (mask := run.domain.mask):
        check(("domain", "mask", "covariate"), mask.covariate, categorical=mask.classes is not None)
        spec = run.covariates.get(mask.covariate)
        have = spec.class_names if spec else ()
        wrong += [
            (("domain", "mask", "classes"), f"{name!r} is not a class of {mask.covariate}{nearest(name, have)}")
            for name in mask.classes or ()
            if have and name not in have
        ]
    if isinstance(run.zones, str):
        check(("zones",), run.zones, categorical=True)
    of_zones = run.covariates.get(run.zones) if isinstance(run.zones, str) else run.zones
    if of_zones and TOTAL in of_zones.class_names:
        key = ("covariates", run.zones, "classes") if isinstance(run.zones, str) else ("zones", "classes")
        wrong.append((key, f"a zone cannot be called {TOTAL!r}: tables call the whole region so; rename the class"))
    wrong += dangling_terms(run.covariates, unsound)
    for covariate in run.observations.at_site if run.observations else ():
        check(("observations", "at_site", covariate), covariate)
    if run.selection:
        for name in run.selection.keep:
            check(("selection", "keep"), name)
        for name in run.selection.drop:
            check(("selection", "drop"), name)
        if not set(names) - set(run.selection.drop):
            wrong.append((("selection", "drop"), "no covariate is left; a model needs one"))
    shown = run.figures.permafrost if run.figures else None
    if shown not in (None, "boundary", "none", *names):
        close = nearest(str(shown), ("boundary", "none", *names))
        wrong.append((("figures", "permafrost"), f"{shown!r} is not among the covariates{close}"))
    if run.model and run.target and run.target.is_amount and run.model.thresholds and run.model.thresholds[0] < 0:
        found = f"{run.model.thresholds[0]:g} {run.target.printed_units}"
        wrong.append((("model", "thresholds"), f"{found} lies below 0, where no {run.target.noun} is"))
    return wrong


def dangling_terms(covariates: Mapping[str, SourceSpec], unsound: frozenset[str]) -> list[tuple[tuple[str, ...], str]]:
    """Return formulas that name absent terms, categories or themselves, or add unlike units, with the problem."""
    wrong: list[tuple[tuple[str, ...], str]] = []
    for name, spec in covariates.items():
        if not isinstance(spec, FormulaSpec) or unsound & set(names_in(spec.expression)):
            continue
        try:
            terms = terms_of(name, spec, covariates)
            if "units" not in spec.model_fields_set:
                units_of(spec.expression, {term: entry.units for term, entry in terms.items()})
        except (InputError, ValueError) as error:
            found = [p.message for p in error.problems] if isinstance(error, InputError) else [str(error)]
            wrong += [(("covariates", name, "expression"), message) for message in found]
    return wrong


def with_units(covariates: Mapping[str, SourceSpec]) -> dict[str, SourceSpec]:
    """Give formulas the units that follow from their terms, if the run file gives none."""
    found: dict[str, SourceSpec] = {}
    for name, spec in covariates.items():
        found[name] = spec
        if not isinstance(spec, FormulaSpec) or "units" in spec.model_fields_set:
            continue
        try:
            terms = terms_of(name, spec, {**covariates, **found})
            units = units_of(spec.expression, {term: entry.units for term, entry in terms.items()})
        except (InputError, ValueError):
            continue  # told by `dangling_terms`
        found[name] = spec.model_copy(update={"units": units}) if units else spec
    return found
