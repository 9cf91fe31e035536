"""What each stage depends on: a key for the ledger, in parts, so that a stale stage can say what has changed."""

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

CODE = {"profiles": 2, "cube": 4, "select": 1, "validation": 1, "train": 3, "map": 3, "report": 1}
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


def stage_parts(prepared: Prepared, ledger: Ledger | None = None) -> dict[str, Parts]:
    """Per stage, what its artefacts depend on → a hash of it; stages before it stand for all that they depend on.

    The map depends on what the stage `train` has left, and not on how it came about, once that is known.
    """
    ledger = ledger or Ledger(prepared.directory)
    own = _own_parts(prepared)
    parts = {stage: {"code": str(CODE[stage])} for stage in STAGES}
    parts["profiles"] |= own["profiles"]
    parts["cube"] |= own["cube"]
    learnt_from = {name: value for name, value in parts["cube"].items() if name != _MARKS[Role.LAYOUT]}
    parts["select"] |= {"stage profiles": _key(parts["profiles"]), "stage cube": _key(learnt_from), **own["select"]}
    parts["train"] |= {"stage select": _key(parts["select"]), **own["train"]}
    parts["map"] |= {"stage cube": _key(parts["cube"]), "stage train": _left_by_train(ledger, parts), **own["map"]}
    follows = {f"stage {stage}": _key(parts[stage]) for stage in ("train", "map")}
    parts["report"] |= follows | own["report"]
    return parts


def _left_by_train(ledger: Ledger, parts: dict[str, Parts]) -> str:
    """What the map is made of: what the last training left, if another would leave the same but for its scores."""
    entry = ledger.entry("train")
    if entry and entry.leaves and _without(entry.parts, _SCORES) == _without(parts["train"], _SCORES):
        return entry.leaves
    return _key(parts["train"])


def _own_parts(prepared: Prepared) -> dict[str, Parts]:
    """Per stage, the settings and files that it depends on itself, by the names that messages give them."""
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


def keys_of(stage: str, parts: Parts, here: Mapping[str, str]) -> Keys:
    """The keys of a stage that depends on these parts, in an environment of these versions."""
    environment = environment_key(stage, here)
    pieces = key_of(_without(parts, _TABLES), environment)
    files = key_of(pieces, parts.get(f"{_TABLES}synthetic"))
    return Keys(_key(parts), pieces, files, environment)


def stage_keys(prepared: Prepared, ledger: Ledger | None = None) -> dict[str, str]:
    """A key per stage of all that its artefacts depend on."""
    return {stage: _key(parts) for stage, parts in stage_parts(prepared, ledger).items()}


def validation_scratch(prepared: Prepared, here: Mapping[str, str]) -> Scratch:
    """Where held-out predictions, and in folders of their own searches, folds and coverage, are kept for a rerun.

    Repeats and schemes have names of their own there, so that others are added to those that are kept.
    """
    model = prepared.config.model.model_dump(mode="json")
    validation = {k: v for k, v in model["validation"].items() if k not in _OF_SCORES}
    select = stage_keys(prepared)["select"]
    environment = environment_key("train", here)
    key = key_of(CODE["validation"], select, model["families"], model["seed"], validation, environment)
    return Scratch(prepared.directory / RECORDS / "validation" / key)


def stage_states(prepared: Prepared, here: Mapping[str, str] | None = None) -> dict[str, str]:
    """Stage → `done`, `to do`, `interrupted: …` with what is kept, or `stale: …` with what has changed since."""
    ledger, states = Ledger(prepared.directory), {}
    here = versions() if here is None else here
    for stage, parts in stage_parts(prepared, ledger).items():
        paths = [prepared.directory / name for name in ARTEFACTS[stage]]
        entry = ledger.entry(stage)
        if ledger.is_done(stage, _key(parts), paths):
            states[stage] = "done"
            if stage == "map" and states["train"].startswith("stale"):
                states[stage] = "done; again if the ensemble or the area of applicability becomes another"
        elif entry and entry.key != _key(parts):
            states[stage] = f"stale: {_changes(entry.parts, parts)}"
        elif entry:
            missing = [path.name for path in paths if not path.exists()]
            states[stage] = f"incomplete: {', '.join(missing)} is gone"
        else:
            states[stage] = _progress(prepared, stage, keys_of(stage, parts, here), here)
    return states


def states_as_left(directory: OutPath) -> dict[str, str]:
    """Stage → whether it was done by an earlier run; whether that still holds, nobody knows of a run with problems."""
    try:
        ledger = Ledger(directory)
    except InputError as error:
        return dict.fromkeys(STAGES, str(error))
    return {stage: "done before; kept if nothing changes that it depends on" if ledger.entry(stage) else "to do"
            for stage in STAGES}  # fmt: skip


def _key(parts: Parts) -> str:
    return key_of(parts)


def _changes(before: Parts, now: Parts) -> str:
    """What differs, in the run file's words; a stage that only follows another says so."""
    changed = [name for name in dict.fromkeys([*now, *before]) if before.get(name) != now.get(name)]
    own = [name for name in changed if not name.startswith("stage ")]
    if own:
        plain = ["its code" if n == "code" else n.removeprefix(_SCORES).removeprefix(_TABLES) for n in own]
        return f"{', '.join(dict.fromkeys(plain))} changed"
    # The nearest: what is before it has changed with what is before that.
    nearest = next(([n] for n in ("stage map", "stage train") if n in changed), changed)
    return f"follows {', '.join(name.removeprefix('stage ') for name in nearest)}"


def _progress(prepared: Prepared, stage: str, keys: Keys, here: Mapping[str, str]) -> str:
    """How far an unfinished stage had come."""
    if stage in STORES:
        done = len(Records.of(prepared.directory / STORES[stage], keys.pieces).names())
        return (
            f"interrupted: {done} of {counted(prepared.grid.n_blocks, 'block')} {verb(done, 'is', 'are')} kept"
            if done
            else "to do"
        )
    if stage == "train" and (done := validation_scratch(prepared, here).count()):
        return f"interrupted: {counted(done, 'repeat')} of the validation {verb(done, 'is', 'are')} kept"
    return "to do"
