"""What each stage depends on: a key for the ledger, in parts, so that a stale stage can say what has changed."""

import hashlib
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.ledger import RECORDS, Ledger, Records, Scratch, key_of
from engine.outputs.place import OutPath
from engine.remote.files import Place, place_of, read_bytes
from engine.words import counted, verb
from pipelines import STAGES
from pipelines.observations_spec import files_beside, files_of
from pipelines.prepare import INDEPENDENT, Prepared

CODE = {"profiles": 2, "cube": 3, "select": 1, "validation": 1, "train": 2, "map": 3, "report": 1}
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
_OF_MAP = ("interval", "residual_error")
"""Keys of `model` that nothing before the map depends on."""
Parts = dict[str, str]


def stage_parts(prepared: Prepared) -> dict[str, Parts]:
    """Per stage, what its artefacts depend on → a hash of it; stages before it stand for all that they depend on."""
    config, base = prepared.config, prepared.base
    entries = config.model_dump(mode="json")
    independent = entries["model"]["validation"].pop("independent")
    model = {f"model.{name}": value for name, value in entries["model"].items()}
    outline = {"domain": entries["domain"] | {"chunk": prepared.grid.chunk}}
    if config.domain.boundary:
        outline["the boundary's file"] = _content(place_of(config.domain.boundary, base))
    covariates = {f"covariates.{name}": entry for name, entry in entries["covariates"].items()}
    files = {f"files of {name}": summary.fingerprint for name, summary in prepared.summaries.items()}
    of_map = {f"model.{name}" for name in _OF_MAP}
    wanted: dict[str, dict[str, Any]] = {
        "profiles": {
            "observations": entries["observations"],
            "depths": entries["depths"],
            **{name: _content(place) for name, place in files_of(config.observations, prepared.data).items()},
        },
        "cube": {**outline, **covariates, **files, "zones": entries["zones"]},
        "select": {"selection": entries["selection"]},
        "train": {name: value for name, value in model.items() if name not in of_map},
        "map": {
            **{name: value for name, value in model.items() if name in of_map},
            **{name: entries[name] for name in ("name", "title", "synthetic")},
        },
        "report": {
            **{name: entries[name] for name in ("truth", "figures")},
            "output": {name: value for name, value in entries["output"].items() if name != "dir"},
            INDEPENDENT: independent,
            **_tables(independent, prepared.data),
        },
    }
    before = {"select": ("profiles", "cube"), "train": ("select",), "map": ("train",), "report": ("map",)}
    parts: dict[str, Parts] = {}
    for stage in STAGES:
        follows = {f"stage {other}": _key(parts[other]) for other in before.get(stage, ())}
        own = {name: key_of(value) for name, value in wanted[stage].items()}
        parts[stage] = {"code": str(CODE[stage]), **follows, **own}
    return parts


def stage_keys(prepared: Prepared) -> dict[str, str]:
    """A key per stage of all that its artefacts depend on."""
    return {stage: _key(parts) for stage, parts in stage_parts(prepared).items()}


def validation_scratch(prepared: Prepared) -> Scratch:
    """Where held-out predictions, and in folders of their own searches, folds and coverage, are kept for a rerun."""
    model = prepared.config.model.model_dump(mode="json")
    validation = {k: v for k, v in model["validation"].items() if k not in ("repeats", "coverage", "independent")}
    key = key_of(CODE["validation"], stage_keys(prepared)["select"], model["families"], model["seed"], validation)
    return Scratch(prepared.directory / RECORDS / "validation" / key)


def stage_states(prepared: Prepared) -> dict[str, str]:
    """Stage → `done`, `to do`, `interrupted: …` with what is kept, or `stale: …` with what has changed since."""
    ledger, states = Ledger(prepared.directory), {}
    for stage, parts in stage_parts(prepared).items():
        paths = [prepared.directory / name for name in ARTEFACTS[stage]]
        entry = ledger.entry(stage)
        if ledger.is_done(stage, _key(parts), paths):
            states[stage] = "done"
        elif entry and entry.key != _key(parts):
            states[stage] = f"stale: {_changes(entry.parts, parts)}"
        elif entry:
            missing = [path.name for path in paths if not path.exists()]
            states[stage] = f"incomplete: {', '.join(missing)} is gone"
        else:
            states[stage] = _progress(prepared, stage, _key(parts))
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


def _content(place: Place) -> str:
    return hashlib.sha256(read_bytes(place)).hexdigest()


def _tables(given: Any, base: Path) -> Parts:
    """Content of the tables that a key names, by itself or in a section."""
    if isinstance(given, str):
        place = place_of(given, base)
        return {
            f"the table {given}": _content(place),
            **{f"the table {f.name}": _content(f) for f in files_beside(place)},
        }
    found: Parts = {}
    for name, value in given.items() if isinstance(given, dict) else ():
        if isinstance(value, dict) or (name == "table" and isinstance(value, str)):
            found |= _tables(value, base)
    return found


def _changes(before: Parts, now: Parts) -> str:
    """What differs, in the run file's words; a stage that only follows another says so."""
    changed = [name for name in dict.fromkeys([*now, *before]) if before.get(name) != now.get(name)]
    own = [name for name in changed if not name.startswith("stage ")]
    if own:
        return f"{', '.join('its code' if name == 'code' else name for name in own)} changed"
    return f"follows {', '.join(name.removeprefix('stage ') for name in changed)}"


def _progress(prepared: Prepared, stage: str, key: str) -> str:
    """How far an unfinished stage had come."""
    if stage in STORES:
        done = len(Records.of(prepared.directory / STORES[stage], key).names())
        return (
            f"interrupted: {done} of {counted(prepared.grid.n_blocks, 'block')} {verb(done, 'is', 'are')} kept"
            if done
            else "to do"
        )
    if stage == "train" and (done := validation_scratch(prepared).count()):
        return f"interrupted: {counted(done, 'repeat')} of the validation {verb(done, 'is', 'are')} kept"
    return "to do"
