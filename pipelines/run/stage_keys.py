"""Keys of stages for the ledger, in parts, so that a stale stage can name what has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.execution.ledger import RECORDS, Ledger, Records, Scratch, key_of
from engine.execution.versions import versions
from engine.formatting import counted, verb
from engine.storage.paths import OutPath
from pipelines import STAGES
from pipelines.run.stage_versions import environment_key
from pipelines.runfile.decisions import Role, role_of_file, roles_of, settings
from pipelines.soil_carbon.prepared import Prepared

CODE = {"profiles": 3, "cube": 4, "select": 1, "validation": 1, "train": 8, "map": 6, "report": 1}
"""Version of the code of each stage; one more when what it writes changes, so that older results are made again.
`validation` is that of all that the stage `train` keeps on its way: searches, folds, held-out predictions, coverage."""
ARTEFACTS: dict[str, tuple[str, ...]] = {
    "profiles": ("profiles.parquet", "dropped_rows.csv", "depth_regression.csv"),
    "cube": ("cube.zarr",),
    "select": ("selection.csv",),
    "train": ("ensemble", "applicability.npz", "validation.csv", "skill.csv", "importance.csv"),
    "map": (
        "maps.zarr",
        "stocks.csv",
        "stocks_applicable.csv",
        "replicate_totals.csv",
        "zone_differences.csv",
        "stock_uncertainty.csv",
        "representativeness.csv",
        "cog",
    ),
    "report": ("report.html", "summary.json", "stac", "sites.gpkg"),
}
"""What is there once a stage is done."""
ALSO_WRITES = {"select": ("profiles.parquet",), "train": ("profiles.parquet",)}
"""Artefacts of other stages that a stage completes."""
STORES = {"cube": "cube.zarr", "map": "maps.zarr"}
"""The stage's artefact whose blocks are recorded one by one."""
Parts = dict[str, str]
_OF_SCORES = ("repeats", "schemes", "coverage", "independent")
"""Keys of the validation that no held-out prediction depends on."""
_SCORES, _TABLES = "scores: ", "tables: "
"""What parts are marked by that do not decide over the ensemble, or over the blocks of the map."""
_STAGE_OF = {
    Role.PROFILES: "profiles",
    Role.CUBE: "cube",
    Role.LAYOUT: "cube",
    Role.SELECT: "select",
    Role.TRAIN: "train",
    Role.SCORES: "train",
    Role.MAP: "map",
    Role.TABLES: "map",
    Role.REPORT: "report",
}
_MARKS = {Role.LAYOUT: "domain.chunk", Role.SCORES: _SCORES, Role.TABLES: _TABLES}


@dataclass(frozen=True)
class Keys:
    """The keys of a stage.

    Attributes
    ----------
    stage : str
        Of all that its artefacts depend on; the ledger has it.
    pieces : str
        Of all that its blocks, replicates and folds depend on, the versions of packages among it.
    files : str
        Of all that its COGs depend on.
    environment : str
        Of the versions alone.
    """

    stage: str
    pieces: str
    files: str
    environment: str


class RunKeys:
    """Dependencies of a run's stages, and their keys: computed once for a run, and passed on.

    Parameters
    ----------
    prepared : Prepared
        The run.
    here : mapping, optional
        Versions of packages and libraries; default: those of this environment.
    """

    def __init__(self, prepared: Prepared, here: Mapping[str, str] | None = None):
        self.here = versions() if here is None else here
        self._directory = prepared.directory
        self._own = own = _own_parts(prepared)
        parts = {stage: {"code": str(CODE[stage])} for stage in STAGES}
        parts["profiles"] |= own["profiles"]
        parts["cube"] |= own["cube"]
        learnt_from = {name: value for name, value in parts["cube"].items() if name != _MARKS[Role.LAYOUT]}
        parts["select"] |= {
            "stage profiles": key_of(parts["profiles"]),
            "stage cube": key_of(learnt_from),
            **own["select"],
        }
        parts["train"] |= {"stage select": key_of(parts["select"]), **own["train"]}
        self._parts = parts
        self._validation = _validation_key(prepared, key_of(parts["select"]), self.here)

    def parts(self, ledger: Ledger | None = None) -> dict[str, Parts]:
        """Return a hash of each dependency of each stage's artefacts; earlier stages stand for all they depend on.

        The map depends on what the stage `train` has left, and not on how it came about, once the ledger knows that.
        """
        parts = dict(self._parts)
        before = {"stage cube": key_of(parts["cube"]), "stage train": self._left_by_train(ledger or self._ledger())}
        parts["map"] = parts["map"] | before | self._own["map"]
        follows = {f"stage {stage}": key_of(parts[stage]) for stage in ("train", "map")}
        parts["report"] = parts["report"] | follows | self._own["report"]
        return parts

    def stages(self, ledger: Ledger | None = None) -> dict[str, str]:
        """Return a key per stage of all that its artefacts depend on."""
        return {stage: key_of(parts) for stage, parts in self.parts(ledger).items()}

    def of(self, stage: str, ledger: Ledger | None = None) -> Keys:
        """Compute all keys of a run."""
        parts = self.parts(ledger)[stage]
        environment = environment_key(stage, self.here)
        pieces = key_of(_without(parts, _TABLES), environment)
        return Keys(key_of(parts), pieces, key_of(pieces, parts.get(f"{_TABLES}synthetic")), environment)

    def scratch(self) -> Scratch:
        """Return where a rerun finds held-out predictions and, in folders of their own, searches, folds and coverage.

        Repeats and schemes have names of their own there, so that others are added to those that are kept.
        """
        return Scratch(self._directory / RECORDS / "validation" / self._validation)

    def _ledger(self) -> Ledger:
        return Ledger(self._directory)

    def _left_by_train(self, ledger: Ledger) -> str:
        """Return what the map is made of: the last training, if another would leave the same but for its scores."""
        entry, train = ledger.entry("train"), self._parts["train"]
        if entry and entry.leaves and _without(entry.parts, _SCORES) == _without(train, _SCORES):
            return entry.leaves
        return key_of(train)


def _own_parts(prepared: Prepared) -> dict[str, Parts]:
    """Return each stage's own settings and files, by their names in messages."""
    entries = prepared.config.model_dump(mode="json")
    entries["domain"]["chunk"] = prepared.grid.chunk
    found: dict[str, dict[str, list[Any]]] = {stage: {} for stage in STAGES}
    for key, part, value in settings(entries):
        for role in roles_of(key):
            if stage := _STAGE_OF.get(role):
                name = part if role != Role.LAYOUT else ""
                found[stage].setdefault(f"{_MARKS.get(role, '')}{name}", []).append(value)
    found["select"]["the order of the covariates"] = list(prepared.config.covariates)
    own = {stage: {name: key_of(values) for name, values in parts.items()} for stage, parts in found.items()}
    for name, fingerprint in prepared.inputs.items():
        own[_STAGE_OF[role_of_file(name)]][name] = key_of(fingerprint)
    return own


def _without(parts: Parts, mark: str) -> Parts:
    return {name: value for name, value in parts.items() if not name.startswith(mark)}


def _validation_key(prepared: Prepared, select: str, here: Mapping[str, str]) -> str:
    """Hash all that held-out predictions depend on."""
    model = prepared.config.model.model_dump(mode="json")
    validation = {k: v for k, v in model["validation"].items() if k not in _OF_SCORES}
    environment = environment_key("train", here)
    return key_of(CODE["validation"], select, model["families"], model["seed"], validation, environment)


def stage_states(prepared: Prepared, here: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return each stage's state: `done`, `to do`, `interrupted: …` with what is kept, or `stale: …` with changes."""
    ledger, states = Ledger(prepared.directory), {}
    keys = RunKeys(prepared, here)
    stale: set[str] = set()
    for stage, parts in keys.parts(ledger).items():
        paths = [prepared.directory / name for name in ARTEFACTS[stage]]
        entry = ledger.entry(stage)
        if ledger.is_done(stage, key_of(parts), paths):
            states[stage] = "done"
            if stage == "map" and "train" in stale:
                states[stage] = "done; again if the ensemble or the area of applicability becomes another"
        elif entry and entry.key != key_of(parts):
            stale.add(stage)
            states[stage] = f"stale: {_changes(entry.parts, parts)}"
        elif entry:
            missing = [path.name for path in paths if not path.exists()]
            states[stage] = f"incomplete: {', '.join(missing)} is gone"
        else:
            states[stage] = _progress(prepared, stage, keys, ledger)
    return states


def states_as_left(directory: OutPath) -> dict[str, str]:
    """Return whether an earlier run did each stage; if the run has problems, it stays open whether that holds."""
    try:
        ledger = Ledger(directory)
    except InputError as error:
        return dict.fromkeys(STAGES, str(error))
    return {stage: "done before; kept if nothing changes that it depends on" if ledger.entry(stage) else "to do"
            for stage in STAGES}  # fmt: skip


def _changes(before: Parts, now: Parts) -> str:
    """Name the differences in the run file's words; a stage that only follows another says so."""
    changed = [name for name in dict.fromkeys([*now, *before]) if before.get(name) != now.get(name)]
    own = [name for name in changed if not name.startswith("stage ")]
    if own:
        plain = ["its code" if n == "code" else n.removeprefix(_SCORES).removeprefix(_TABLES) for n in own]
        return f"{', '.join(dict.fromkeys(plain))} changed"
    # The nearest: what is before it has changed with what is before that.
    nearest = next(([n] for n in ("stage map", "stage train") if n in changed), changed)
    return f"follows {', '.join(name.removeprefix('stage ') for name in nearest)}"


def _progress(prepared: Prepared, stage: str, keys: RunKeys, ledger: Ledger) -> str:
    """Describe how far an unfinished stage had come."""
    if stage in STORES:
        done = len(Records.of(prepared.directory / STORES[stage], keys.of(stage, ledger).pieces).names())
        return (
            f"interrupted: {done} of {counted(prepared.grid.n_blocks, 'block')} {verb(done, 'is', 'are')} kept"
            if done
            else "to do"
        )
    if stage == "train" and (done := keys.scratch().count()):
        return f"interrupted: {counted(done, 'repeat')} of the validation {verb(done, 'is', 'are')} kept"
    return "to do"
