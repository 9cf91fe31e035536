"""Everything that can be known before computing: sources opened, grid laid, profiles read; all problems at once."""

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from distributed.comm import get_address_host_port
from odc.geo import Geometry

from engine.cube.build import CubePlan, DomainMask
from engine.errors import Finding, InputError, Level
from engine.execution.cluster import cluster_class
from engine.grid.crs_name import crs_label
from engine.grid.grid import Grid
from engine.models.families import FAMILIES
from engine.models.smoke_test import try_family
from engine.registry import OWN
from engine.remote.files import forget, on_disk, place_of
from engine.remote.retry import RemoteError
from engine.sources.base import Context, Source
from engine.sources.composite import terms_of
from engine.sources.entry import FormulaSpec
from engine.sources.files import MissingFile
from engine.sources.opening import open_source
from engine.sources.spec import SourceSpec
from engine.sources.unused_keys import misplaced
from engine.storage.paths import OutPath, is_on_disk, out_path, require_access
from pipelines.preflight.extents import coverage_of
from pipelines.preflight.extras import missing_extras
from pipelines.preflight.grouped_problems import grouped
from pipelines.preflight.input_fingerprints import fingerprints, of_sources
from pipelines.preflight.outline import bounds_in_degrees, box_in_degrees, read_outline
from pipelines.preflight.sample_points import Sites
from pipelines.preflight.servers import needed_servers, silent_needs
from pipelines.preflight.waiting import Watch, unwatched
from pipelines.progress import EVENTS
from pipelines.runfile.depth_intervals import depth_label
from pipelines.runfile.descriptions import read_description
from pipelines.runfile.observations_section import tables_of
from pipelines.runfile.reader import Draft, Model, RunFile, read
from pipelines.runfile.target import CARBON_DENSITY
from pipelines.soil_carbon.model.depth_regression import fit_depth_regressions
from pipelines.soil_carbon.prepared import ZONES, Coverage, Prepared
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.other_targets import target_columns, target_profiles
from pipelines.soil_carbon.profiles.read_profiles import Profiles

_TRIAL_SITES = 100
"""Rows that families are tried on where the number of sites is not known."""
_CONNECT_S = 5.0
"""How long a scheduler may take to accept a connection, s."""
ITEMS = "items"
"""Folder of the results with the items that were found in STAC catalogs, one GeoJSON file a covariate."""
INDEPENDENT = "model.validation.independent"
"""Key of the table of sites that never train the model."""
_OF_OBSERVATIONS = re.compile(r"\bobservations\.")
Inspect = Callable[[Grid, dict[str, Source], DomainMask | None, Sites], list[Finding]]
T = TypeVar("T")


class _Problems:
    """Collects what is wrong, so that all of it is reported together."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self.found += error.problems

    def attempt(self, function: Callable[..., T], *args: object) -> T | None:
        with self.collect():
            return function(*args)
        return None


def open_run(
    path: Path,
    overrides: tuple[str, ...] = (),
    directory: OutPath | None = None,
    *,
    refresh: bool = False,
    inspect: Inspect | None = None,
) -> Prepared:
    """Read a run file and open everything that it names; parameters as for `survey`.

    Raises
    ------
    InputError
        With every problem found in the run file, the boundary, the sources and the profiles.
    """
    return survey(path, overrides, directory, refresh=refresh, inspect=inspect).prepared()


def survey(
    path: Path,
    overrides: tuple[str, ...] = (),
    directory: OutPath | None = None,
    *,
    refresh: bool = False,
    inspect: Inspect | None = None,
    watch: Watch = unwatched,
    probe: bool = False,
) -> "Survey":
    """Read a run file and open what it names, as far as that can be done.

    Parameters
    ----------
    overrides : tuple of str
        `key.subkey=value` settings that replace the file's.
    directory : OutPath, optional
        Results folder instead of the run file's.
    refresh : bool
        Search STAC catalogs anew, whatever an earlier search found.
    inspect : callable, optional
        Called with the grid, the sources that could be opened, the mask and the sites; gives further problems.
    watch : callable
        Told of what may take long.
    probe : bool
        Try every server once first, and ask one that does not answer no more.

    Raises
    ------
    InputError
        If the run file is no YAML mapping at all.
    """
    reading = read(path, overrides)
    run, base = reading.run, reading.base
    if isinstance(run, RunFile):
        directory = directory or out_path(run.output.dir, base)
    found = Survey(run, base, directory)
    found.problems.found += reading.problems
    with found.problems.collect():
        _require_other_place(path, directory)
    _open(found, refresh, inspect, watch, probe)
    return found


def _require_other_place(run_file: Path, directory: OutPath | None) -> None:
    """Refuse a results folder whose resolved run file would replace the user's own."""
    if directory is None or not is_on_disk(directory) or run_file.resolve() != (directory / "run.yaml").resolve():
        return
    # Where a run has worked, it is the resolved one already.
    if not (directory / EVENTS).exists():
        raise InputError(
            Finding(
                f"{directory} holds this run file, which the results' own run.yaml would replace; give another "
                "folder, e.g. `out`",
                "output.dir",
            )
        )


@dataclass
class Survey:
    """Survey of a run: the parts that could be opened, and the problems of the rest.

    Attributes
    ----------
    directory : OutPath or None
        Where the results go, if that is known.
    notes : tuple of Finding
        What is odd, but no error; of a source the key is its name.
    """

    run: RunFile | Draft
    base: Path
    directory: OutPath | None
    grid: Grid | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    profiles: Profiles | None = None
    independent: Profiles | None = None
    coverage: dict[str, Coverage] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    problems: _Problems = field(default_factory=_Problems)

    def prepared(self) -> Prepared:
        """Return the run; raise an `InputError` with all problems if there are any."""
        if self.problems.found or self.grid is None or self.profiles is None:
            raise InputError(grouped(self.problems.found))
        assert isinstance(self.run, RunFile) and self.directory is not None
        return Prepared(
            self.run,
            self.base,
            self.directory,
            self.grid,
            CubePlan.make(self.grid, self.sources, _mask(self.run)),
            {name: source.summary() for name, source in self.sources.items()},
            self.coverage,
            self.profiles,
            self.inputs,
            self.independent,
        )


def _open(found: Survey, refresh: bool, inspect: Inspect | None, watch: Watch, probe: bool) -> None:
    """Open what is named in the sound parts of a run file."""
    run, base, problems = found.run, found.base, found.problems
    outline: Geometry | None = None
    forget()
    found.inputs |= fingerprints(run, base)
    data = base / run.data
    # A draft may yet get another outline: what is found for it is not kept.
    items = None
    if found.directory is not None and isinstance(run, RunFile):
        with problems.collect():
            require_access(found.directory)
            items = found.directory / ITEMS
        if items is None:
            found.directory = None
    silent = _silent(run, None if refresh else items, watch) if probe else {}
    problems.found += [Finding(text, key) for key, text in silent.items()]
    if (domain := run.domain) and "domain.boundary" not in silent:
        with watch("domain.boundary"):
            drawn = problems.attempt(read_outline, domain, base)
        if drawn is not None:
            outline, found.notes = drawn.geometry, _noted("domain.boundary", drawn.notes)
            found.grid = problems.attempt(Grid.from_outline, outline, domain.crs, domain.resolution, domain.chunk)
    context = Context(None if outline is None else box_in_degrees(outline), items, refresh, run.covariates)
    for name, spec in _openable(run).items():
        if _key(name) in silent:
            continue
        before = len(problems.found)
        with watch(f"opening {name} ({spec.place})"):
            source = problems.attempt(open_source, name, spec, data, context)
        problems.found[before:] = [
            _with_recipe(problem, name, spec, base).moved(f"covariates.{name}", _key(name))
            for problem in problems.found[before:]
        ]
        if source is not None:
            found.sources[name] = source
            # Of what was opened just now, before a value is read.
            found.inputs |= problems.attempt(of_sources, {name: source.summary()}) or {}
            for finding in misplaced(source, _key(name)):
                if finding.level is Level.PROBLEM:
                    problems.found.append(finding)
                else:
                    found.notes += (finding.of(name),)
    for name, spec in _specs(run).items():
        if spec.about:
            problems.attempt(read_description, base / spec.about, f"{_key(name)}.about")
    if isinstance(run, RunFile) and run.truth and not (base / run.truth).is_dir():
        problems.found.append(Finding(f"no such Zarr store: {base / run.truth}", "truth"))
    if run.observations and run.depths and not silent.keys() & tables_of(run.observations).keys():
        found.profiles = problems.attempt(_profiles, run, data, outline)
    if run.observations and run.depths and run.model and run.model.validation.independent:
        found.independent = problems.attempt(_independent, run, data, outline)
    if run.depths and found.profiles:
        labels = [depth_label(depth) for depth in run.depths]
        problems.attempt(fit_depth_regressions, found.profiles.wide(), labels)
    if run.model and run.depths and found.profiles:
        problems.found += _too_few(run.model.validation.folds, run.depths[0], found.profiles)
    problems.found += missing_extras(run)
    if run.model:
        problems.found += _untrainable(run.model, found.profiles)
    if run.cluster and run.cluster.address:
        problems.attempt(_require_scheduler, run.cluster.address)
    if run.cluster and "." in run.cluster.kind:
        problems.attempt(cluster_class, run.cluster.kind)
    if found.grid is not None:
        sites = found.profiles.wide() if found.profiles else None
        found.coverage = {name: coverage_of(s.summary(), found.grid, sites) for name, s in found.sources.items()}
        problems.found += _uncovered(run, found)
        if inspect:
            here = {name: source for name, source in found.sources.items() if found.coverage[name].domain}
            problems.found += inspect(found.grid, here, _mask(run), _sites(run, found.profiles))


def _silent(run: RunFile | Draft, items: OutPath | None, watch: Watch) -> dict[str, str]:
    """Return silent servers by the key of the run file that needs them; each is tried once."""
    needs = needed_servers(run, _openable(run), _key, items)
    with watch(f"whether {', '.join(sorted(set().union(*needs.values())))} answer") if needs else nullcontext():
        return silent_needs(needs)


def _specs(run: RunFile | Draft) -> dict[str, SourceSpec]:
    return dict(run.covariates) | ({ZONES: run.zones} if isinstance(run.zones, SourceSpec) else {})


def _openable(run: RunFile | Draft) -> dict[str, SourceSpec]:
    """Return the entries without formulas that name absent or unsound ones, which the reader has reported."""

    def resolves(name: str, spec: SourceSpec) -> bool:
        try:
            return not isinstance(spec, FormulaSpec) or bool(terms_of(name, spec, run.covariates))
        except InputError:
            return False

    return {name: spec for name, spec in _specs(run).items() if resolves(name, spec)}


def _key(name: str) -> str:
    """Return the key under which the run file describes a source."""
    return "zones" if name == ZONES else f"covariates.{name}"


def _noted(key: str, notes: Iterable[str]) -> tuple[Finding, ...]:
    return tuple(Finding.note(text).of(key) for text in notes)


def _with_recipe(problem: Finding, name: str, spec: SourceSpec, base: Path) -> Finding:
    """Add to a problem of a missing file where the file can be had."""
    term = problem.key.removeprefix(f"covariates.{name}.").partition(".")[0]
    entry = spec.own_terms.get(term, spec)
    described = entry.about or spec.about
    if described is None or not isinstance(problem, MissingFile):
        return problem
    try:
        return problem.with_source(read_description(base / described, "about").how_to_get)
    except InputError:  # a problem of its own
        return problem


def _profiles(run: RunFile | Draft, data: Path, outline: Geometry | None) -> Profiles:
    observations, depths = run.observations, run.depths
    assert observations and depths
    target = run.target or CARBON_DENSITY
    bounds = None if outline is None else bounds_in_degrees(outline)
    # Of covariates whose entry is wrong nobody knows whether their column holds numbers or classes.
    at_site = {covariate: column for covariate, column in observations.at_site.items() if covariate in run.covariates}
    keys = observations.model_copy(update={"at_site": at_site})
    categories = {name: spec for name, spec in run.covariates.items() if spec.is_categorical}

    with ExitStack() as stack:
        paths = {}
        for key, href in tables_of(observations).items():
            place = place_of(href, data)
            try:
                paths[key] = stack.enter_context(on_disk(place))
            except FileNotFoundError as error:
                raise InputError(Finding(f"no such file: {place}", key)) from error
            except RemoteError as error:
                raise InputError(Finding(f"cannot be reached: {error}", key)) from error
        try:
            table = read_observations(
                paths["observations.table"], keys, paths.get("observations.sites.table"), run.covariates, depths,
                target_columns(target, depths),
            )  # fmt: skip
            return target_profiles(table, keys, target, depths, bounds, categories)
        except InputError as error:
            named = {str(paths[key]): str(place_of(href, data)) for key, href in tables_of(observations).items()}
            raise InputError(_with_addresses(problem, named) for problem in error.problems) from None


def _with_addresses(problem: Finding, named: Mapping[str, str]) -> Finding:
    """Restore in a problem the addresses of tables, in the place of the copies on this machine's disks."""
    message = problem.message
    for copy, address in named.items():
        message = message.replace(copy, address)
    return replace(problem, message=message)


def _independent(run: RunFile | Draft, data: Path, outline: Geometry | None) -> Profiles:
    """Read independent sites, which never train the model, by the rules of the others."""
    given = run.model.validation.independent if run.model else None
    assert given and run.observations
    # The map is tried, with the covariates of its cells.
    keys = run.observations.model_copy(update={"table": given, "at_site": {}}) if isinstance(given, str) else given
    if place_of(keys.table, data) == place_of(run.observations.table, data):
        raise InputError(
            f"{INDEPENDENT}: {keys.table} is the table that trains the model (observations.table); give one of other "
            "sites"
        )
    keys = keys.model_copy(update={"errors": keys.errors.model_copy(update={"draw": False})})  # nothing learns them
    own = run.model_copy(update={"observations": keys}) if isinstance(run, RunFile) else replace(run, observations=keys)
    try:
        return _profiles(own, data, outline)
    except InputError as error:
        raise InputError(_of_independent(problem) for problem in error.problems) from None


def _of_independent(problem: Finding) -> Finding:
    """Turn a problem into one of the section on independent sites, whose keys are those of `observations`."""
    message = _OF_OBSERVATIONS.sub(f"{INDEPENDENT}.", problem.message)
    return replace(problem, message=message).moved("observations", INDEPENDENT)


def _require_scheduler(address: str) -> None:
    """Fail now, with everything else, rather than after the first results are written."""
    try:
        socket.create_connection(get_address_host_port(address), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise InputError(
            Finding(
                f"no scheduler answers at {address} ({error}). Start a scheduler there with `dask scheduler`, "
                "or use `cluster: {kind: local}`.",
                "cluster.address",
            )
        ) from None


def _sites(run: RunFile | Draft, profiles: Profiles | None) -> Sites:
    density = f"socd_{depth_label(run.depths[0])}" if run.depths else ""
    at_site = run.observations.at_site if run.observations else {}
    return Sites.of(profiles.wide() if profiles else None, density, at_site)


def _mask(config: RunFile | Draft) -> DomainMask | None:
    mask = config.domain.mask if config.domain else None
    if mask is None or mask.covariate not in config.covariates:
        return None
    names = config.covariates[mask.covariate].class_names
    return DomainMask(
        mask.covariate,
        -np.inf if mask.min is None else mask.min,
        np.inf if mask.max is None else mask.max,
        tuple(names.index(name) + 1 for name in mask.classes or ()),
    )


def _too_few(folds: int, depth: tuple[float, float], profiles: Profiles) -> list[Finding]:
    label = depth_label(depth)
    usable = int(profiles.wide()[f"socd_{label}"].notna().sum())
    if usable >= folds:
        return []
    return [
        Finding(
            f"{folds} folds need at least {folds} sites with a {label} cm density; "
            f"observations.table has {usable}. Use fewer folds or more sites.",
            "model.validation.folds",
        )
    ]


def _untrainable(model: Model, profiles: Profiles | None) -> list[Finding]:
    """Return families that cannot be fitted with the user's settings; this package's own defaults are known to work."""
    sites = len(profiles.wide()) if profiles else _TRIAL_SITES
    rows = max(sites - -(-sites // model.validation.folds), 2)
    as_it_comes = [not (spec.estimator or spec.parameters or spec.grid) for spec in model.families]
    changed = [
        spec.family()
        for spec, same in zip(model.families, as_it_comes, strict=True)
        if not same or FAMILIES.by(spec.name) != OWN
    ]
    return [Finding(problem, "model.families") for family in changed for problem in try_family(family, rows)]


def _uncovered(run: RunFile | Draft, survey: Survey) -> list[Finding]:
    problems = []
    measured = run.observations.at_site if run.observations else {}
    for name, shares in survey.coverage.items():
        summary = survey.sources[name].summary()
        extent = ", ".join(f"{v:.6g}" for v in summary.footprint.boundingbox.bbox)
        of = summary.files[0].name if summary.files else survey.sources[name].spec.place
        where = f"({of}: {extent} in {crs_label(summary.crs)})"
        if shares.domain == 0:
            problems.append(
                Finding(f"covers none of the domain {where}; check its CRS and the boundary", f"covariates.{name}")
            )
        elif shares.sites == 0 and name in run.covariates and name not in measured:
            problems.append(
                Finding(f"covers none of the sites {where}; check lon and lat of the sites", f"covariates.{name}")
            )
    return problems
