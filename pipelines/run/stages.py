"""Stages of a run: each reads the artefacts before it and leaves its own in the results folder."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from engine.cube.build import build_cube
from engine.ensemble.out_of_bag import out_of_bag_means
from engine.ensemble.trained import Ensemble
from engine.errors import Level
from engine.execution.ledger import Records, Scratch
from engine.extras import require
from engine.formatting import counted
from engine.mapping.blockwise import make_plan, map_region
from engine.storage.atomic import staged
from engine.storage.paths import OutPath, read_file
from engine.uncertainty.error_model import ErrorModel
from pipelines.progress import Display
from pipelines.run.provenance import Provenance
from pipelines.run.stage_keys import Keys
from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.model.depth_regression import fit_depth_regressions
from pipelines.soil_carbon.model.independent_sites import try_independent
from pipelines.soil_carbon.model.joint_errors import fit_errors
from pipelines.soil_carbon.model.positions import with_positions
from pipelines.soil_carbon.model.screening import select
from pipelines.soil_carbon.model.train_stage import Modelling, Setting
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.profile_table.bad_rows import left_out_table
from pipelines.soil_carbon.results.catalogue import write_catalogue
from pipelines.soil_carbon.results.headline import SUMMARY, read_headline
from pipelines.soil_carbon.results.joint_totals import joint_totals
from pipelines.soil_carbon.results.labels import COVARIATES, of_store
from pipelines.soil_carbon.results.products import map_attrs, write_cogs
from pipelines.soil_carbon.results.representativeness import representativeness_table
from pipelines.soil_carbon.results.sites_file import write_sites
from pipelines.soil_carbon.results.stocks import replicate_table, stock_table
from pipelines.soil_carbon.results.target_tables import in_pg, named_columns, per_zone_as_written, stocks_as_written
from pipelines.soil_carbon.results.zonal_tables import write_zone_tables

REPORT = "Figures and page (stage `report`)"
"""What needs the extra `report`."""
NEED_CLUSTER = {"cube", "train", "map"}


@dataclass(frozen=True)
class Context:
    """Context that every stage receives.

    Attributes
    ----------
    keys : Keys
        Of all that the stage depends on.
    scratch : Scratch
        Where the stage `train` keeps what it has found on its way.
    """

    prepared: Prepared
    client: Client | None
    display: Display
    provenance: Provenance
    keys: Keys
    scratch: Scratch

    @property
    def config(self) -> RunFile:
        """The run file."""
        return self.prepared.config

    @property
    def cluster(self) -> Client:
        """The client; stages that compute are only started with one."""
        assert self.client is not None
        return self.client

    def path(self, name: str) -> OutPath:
        """Return the place of an artefact."""
        return self.prepared.directory / name


def _profiles(context: Context) -> dict[str, Any]:
    profiles, labels = context.prepared.profiles, context.config.depth_labels
    for note in profiles.notes:
        context.display.say(note.of("profiles"))
    with staged(context.path("profiles.parquet")) as stage:
        named_columns(profiles.table, context.config.target).to_parquet(stage, index=False)
    with staged(context.path("dropped_rows.csv")) as stage:
        left_out_table(profiles.left_out).to_csv(stage, index=False)
    with staged(context.path("depth_regression.csv")) as stage:
        fit_depth_regressions(profiles.wide(), labels).to_csv(stage, index=False)
    return {"notes": list(map(str, profiles.notes))}


def _cube(context: Context) -> dict[str, Any]:
    config = context.config
    with context.display.stage("cube", "block") as progress:
        counts = build_cube(
            context.cluster, context.prepared.plan, context.path("cube.zarr"), of_store(config, COVARIATES), progress,
            key=context.keys.pieces,
        )  # fmt: skip
    context.display.say(
        f"cube: {counts.complete:,} of {counted(counts.inside, 'cell')} of the domain have every covariate"
    )
    facts = {
        "cells_inside": counts.inside,
        "cells_complete": counts.complete,
        "known": counts.known,
    }
    context.provenance.record["grid"] |= facts
    return facts


def _select(context: Context) -> dict[str, Any]:
    config, selection = context.config, context.config.selection
    training = TrainingTable.assemble(context.prepared, tuple(config.covariates))
    training.update_profiles(context.path("profiles.parquet"))
    table = select(training.table[list(config.covariates)], training.y, config.covariates, selection)
    with staged(context.path("selection.csv")) as stage:
        table.to_csv(stage, index=False)
    kept = table.loc[table["kept"], "covariate"].tolist()
    context.display.say(f"select: {len(kept)} of {counted(len(table), 'covariate')} kept: {', '.join(kept)}")
    return {"kept": kept}


def _train(context: Context) -> dict[str, Any]:
    selection = pd.read_csv(io.BytesIO(read_file(context.path("selection.csv"))))
    training = TrainingTable.assemble(context.prepared, tuple(selection.loc[selection["kept"], "covariate"]))
    for note in training.notes:
        context.display.say(note.of("train"))
    training.update_profiles(context.path("profiles.parquet"))
    training = with_positions(training, context.prepared)
    context.scratch.clear_others()
    modelling = Modelling(
        Setting.of(context.prepared),
        training,
        context.cluster,
        context.display,
        context.scratch,
        context.keys.environment,
    )
    facts = modelling.run()
    return {**facts, "notes": list(map(str, training.notes))}


def _map(context: Context) -> dict[str, Any]:
    config, prepared = context.config, context.prepared
    context.path(SUMMARY).unlink(missing_ok=True)  # a headline of the map before this one
    labels = config.depth_labels
    variable, zones = prepared.zones
    ensemble = Ensemble(context.path("ensemble"))
    with context.display.stage("errors", "model"):
        errors, of_errors = fit_errors(prepared, ensemble)
    plan = make_plan(
        prepared.grid, context.path("cube.zarr"), ensemble, context.path("applicability.npz"), variable, len(zones),
        config.model.interval, config.model.statistics, errors, config.model.asked, config.model.local_intervals,
    )  # fmt: skip
    coords = {"depth": ("depth", np.array(labels), {"long_name": "depth interval", "units": "cm"})}
    attrs = map_attrs(config) | {"": of_store(config, config.target.long)}
    with context.display.stage("map", "block") as progress:
        whole, inside = map_region(
            context.cluster, plan, context.path("maps.zarr"), coords, attrs, progress, key=context.keys.pieces
        )
    with context.display.stage("zones", "test"):
        joint = [joint_totals(ErrorModel.load(errors), totals) if errors else None for totals in (whole, inside)]
        everywhere, applicable = whole.map, inside.map
        of_zones, uncertainty = write_zone_tables(prepared, ensemble, everywhere, joint[0])
    notes = (*of_errors, *of_zones)
    target = config.target
    stocks = in_pg(stock_table(everywhere, zones, labels, joint[0]), target)
    stocks_inside = in_pg(stock_table(applicable, zones, labels, joint[1]), target)
    replicates = in_pg(replicate_table(everywhere, zones, labels), target)
    tables = {
        "replicate_totals.csv": per_zone_as_written(replicates, stocks, target),
        "stocks.csv": stocks_as_written(stocks, target),
        "stocks_applicable.csv": stocks_as_written(stocks_inside, target),
        "representativeness.csv": representativeness_table(
            out_of_bag_means(ensemble.out_of_bag, ensemble.coefficients)[:, 0],
            TrainingTable.zone_names(prepared.directory),
            everywhere,
            zones,
        ),
        "stock_uncertainty.csv": per_zone_as_written(in_pg(uncertainty, target), stocks, target),
    }
    for name, table in tables.items():
        with staged(context.path(name)) as stage:
            table.to_csv(stage, index=False)
    for note in notes:
        if note.level is Level.WARNING:
            context.display.say(note.of("map"))
    with context.display.stage("cog", "file") as progress:
        records = Records.of(context.path("cog"), context.keys.files)
        write_cogs(context.cluster, config, prepared.directory, records, progress)
    # More than have every covariate, where the screening left some out.
    context.provenance.record["grid"] |= {
        "cells_mapped": int(everywhere.cells[-1]), "area_km2": float(everywhere.area[-1]),
    }  # fmt: skip
    return {
        "cells": int(everywhere.cells[-1]),
        "cells_applicable": int(applicable.cells[-1]),
        "notes": list(map(str, notes)),
    }


def _report(context: Context) -> dict[str, Any]:
    trained = context.provenance.record["stages"].get("train", {})
    notes = try_independent(context.prepared, trained)
    for note in notes:
        context.display.say(note.of("independent"))
    redo_report(context.config, context.prepared.directory, context.display)
    return {"notes": list(map(str, notes))}


def redo_report(config: RunFile, directory: OutPath, display: Display) -> None:
    """Draw figures and page, and the catalogue of all results, from what is in the results folder."""
    require("report", REPORT)
    from pipelines.soil_carbon.report import write_report  # with Matplotlib, which only this stage needs

    with display.stage("report", "page"):
        write_sites(directory, config.depth_labels, config.target)
        page = write_report(directory)
        headline = read_headline(directory)
        write_catalogue(config, directory, headline.statement if headline else "")
    display.say(f"report: {page}")


FUNCTIONS: dict[str, Callable[[Context], dict[str, Any]]] = {
    "profiles": _profiles,
    "cube": _cube,
    "select": _select,
    "train": _train,
    "map": _map,
    "report": _report,
}
"""What each stage does; it returns facts for the provenance."""
