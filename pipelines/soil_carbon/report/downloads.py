"""The page's tables as files within the page: CSV in data URIs, every digit of the artefacts."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from engine.validation.calibration import ALL
from pipelines.soil_carbon.report import inputs, tables
from pipelines.soil_carbon.results.published_stocks import AS_PRINTED
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.results.target_tables import per_zone_as_written, stocks_as_written
from pipelines.soil_carbon.results.truth import Agreement


@dataclass(frozen=True)
class Download:
    """A file in the page: its name, and its content as a data URI."""

    name: str
    uri: str


def csv_links(results: Results, agreements: Sequence[Agreement], regions: pd.DataFrame) -> dict[str, Download]:
    """Return the file of each table on the page, by its key.

    Parameters
    ----------
    agreements : sequence of Agreement
        With the truth, if there is one.
    regions : DataFrame
        The run beside the published regions.
    """
    applicable = stocks_as_written(results.stocks_applicable, results.target)
    inside = applicable.set_index(["zone", "depth"]).add_prefix("applicable_").reset_index()
    content = {
        "covariates": _covariates(results),
        "scores": _scores(results),
        "hyperparameters": results.tuning,
        "screening": results.selection,
        "stocks": stocks_as_written(results.stocks, results.target).merge(inside, on=["zone", "depth"], how="left"),
        "stock_uncertainty": per_zone_as_written(results.stock_uncertainty, results.stocks, results.target),
        "profiles": pd.DataFrame(inputs.observations(results)),
        "harmonisation": pd.DataFrame(inputs.harmonisation(results.profiles)),
        "exclusions": pd.DataFrame(inputs.exclusions(results.profiles)),
        "zone_scores": results.zone_scores,
        "depth_regression": results.depth_regression,
        "zone_differences": results.zone_differences,
        "coverage": results.coverage,
        "calibration": None if results.calibration is None else results.calibration[results.calibration["by"] == ALL],
        "independent": results.independent,
        "importance": results.importance,
        "partial_dependence": results.partial_dependence,
        "regions": regions.loc[:, ~regions.columns.str.endswith(AS_PRINTED)],
        "truth": pd.DataFrame([asdict(agreement) for agreement in agreements]),
    }
    return {
        key: _download(f"{results.run.name}_{key}.csv", table) for key, table in content.items() if table is not None
    }


def _covariates(results: Results) -> pd.DataFrame:
    """Return Table 1 with a column per fact; several data sets of a covariate are separated by semicolons."""
    rows = []
    for row in inputs.covariates(results):
        known = row.pop("data_sets")
        facts = {key: "; ".join(str(one[key]) for one in known) for key in ("title", "version", "doi", "licence")}
        rows.append({**row, **{"data_set" if key == "title" else key: fact for key, fact in facts.items()}})
    return pd.DataFrame(rows)


def _scores(results: Results) -> pd.DataFrame:
    """Return mean and SD over the repeats, and the choice."""
    grouped = results.validation.groupby(["scheme", "family"], sort=False)[list(tables.SCORES)]
    moments = pd.concat([grouped.mean().add_suffix("_mean"), grouped.std().add_suffix("_sd")], axis=1)
    wide = moments.assign(repeats=grouped.size())
    chosen = {row["family"]: str(row["chosen"]) for row in tables.hyperparameters(results)}
    flat = wide.reset_index()
    return flat.assign(hyperparameters=flat["family"].map(chosen), mapped=flat["family"] == results.mapped)


def _download(name: str, table: pd.DataFrame) -> Download:
    text = table.to_csv(index=False).encode("utf-8")
    return Download(name, "data:text/csv;charset=utf-8;base64," + base64.b64encode(text).decode("ascii"))
