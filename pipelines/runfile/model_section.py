"""Sections of the run file on the model: screening, families, validation, intervals."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from engine.ensemble.statistics import CELL_STATISTICS
from engine.errors import Finding, InputError
from engine.models.families import FAMILIES, Family, Value
from engine.registry import OWN
from engine.uncertainty.asked import PROBABILITY, Asked
from engine.validation.cross_validation import AVERAGE, STACK
from engine.validation.folds import find_splitter
from pipelines.runfile.observations_section import Observations
from pipelines.runfile.section import Section

BEST = "best"
_LAYERS = ("x", "y", "depth", "depth_top", "depth_bottom", "spatial_ref", "dissimilarity", "applicable")
"""Variables of a map that are no statistics."""
_OF_CELLS = ("cell_", PROBABILITY)
"""How names of layers begin that come from the joint distribution of the errors."""


class Selection(Section):
    """Screening of the covariates before the model."""

    screen: bool = Field(True, description="false: all covariates are used, the table is written all the same")
    alpha: float = Field(0.05, gt=0, lt=1, description="significance that a covariate's relation to the density needs")
    vif: float = Field(10.0, gt=1, description="variance inflation factor that no covariate may reach")
    keep: tuple[str, ...] = Field((), description="covariates that stay whatever the screening says")
    drop: tuple[str, ...] = Field((), description="covariates that go whatever the screening says")

    @model_validator(mode="after")
    def _one_decision(self) -> Self:
        if both := sorted(set(self.keep) & set(self.drop)):
            raise ValueError(f"`keep` and `drop` both list {', '.join(both)}; a covariate stays or goes")
        return self


class FamilySpec(Section):
    """A model family: one that is registered, or a scikit-learn regressor by its dotted name."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        description="rf, svm, brt, xgboost, one that is registered, or a name for the estimator",
    )
    estimator: str | None = Field(None, description="dotted name, e.g. sklearn.ensemble.ExtraTreesRegressor")
    scaled: bool | None = Field(None, description="standardise the columns first")
    parameters: dict[str, Value] = Field({}, description="hyperparameters that replace the defaults")
    grid: dict[str, tuple[Value, ...]] | None = Field(
        None, description="search space: hyperparameter → values; {} fixes the parameters"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.name in (BEST, AVERAGE, STACK):
            raise ValueError(f"{self.name!r} cannot name a family: `mapped` uses the word")
        if self.estimator is None and self.name not in FAMILIES:
            raise ValueError(
                f"{FAMILIES.unknown(self.name)}; give `estimator`, the dotted name of a scikit-learn regressor, for a "
                "family of your own, or register one (docs/extending.md)"
            )
        if self.estimator is not None and self.name in FAMILIES:
            raise ValueError(f"{self.name!r} is a family already; choose another name for {self.estimator}")
        try:
            problems = self.family().check({**self.parameters, **(self.grid or {})}, "parameters")
        except InputError as error:
            problems = error.problems
        if empty := [key for key, values in (self.grid or {}).items() if not values]:
            problems.append(Finding(f"{', '.join(empty)} has no values to try", "grid"))
        if problems:
            raise ValueError("\n".join(map(str, problems)))
        return self

    def family(self) -> Family:
        """Return the family that the entry means."""
        base = FAMILIES.get(self.name) or Family(self.name, self.estimator or "")
        return Family(
            self.name,
            base.estimator,
            {**base.defaults, **self.parameters},
            # What the user fixes is not searched.
            {k: v for k, v in base.grid.items() if k not in self.parameters} if self.grid is None else self.grid,
            base.scaled if self.scaled is None else self.scaled,
        )


def _family_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Family = Annotated[FamilySpec, BeforeValidator(_family_entry, json_schema_input_type=str | FamilySpec)]


def _scheme(name: str) -> str:
    try:
        find_splitter(name)
    except InputError as error:
        raise ValueError("; ".join(problem.message for problem in error.problems)) from None
    return name


def _level(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"a level of confidence lies between 0 and 1, e.g. 0.95, not at {value:g}")
    return value


def _probability(value: float) -> float:
    if not 0 < value < 1:
        percent = f"; for the {value:g} % quantile write {value / 100:g}" if 1 < value < 100 else ""
        raise ValueError(f"a quantile lies between 0 and 1, e.g. 0.05, not at {value:g}{percent}")
    return value


def _statistic(name: str) -> str:
    if CELL_STATISTICS.by(name) == OWN:
        raise ValueError(f"{name!r} is in every map already; leave it out")
    if name not in CELL_STATISTICS:
        raise ValueError(f"{CELL_STATISTICS.unknown(name)}; register a statistic first (docs/extending.md)")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _LAYERS or name.startswith(_OF_CELLS):
        raise ValueError(
            f"{name!r} cannot name a layer: use lower-case letters, digits and _; {', '.join(_LAYERS)} and names that "
            f"begin with {' or '.join(_OF_CELLS)} are taken"
        )
    return name


class Validation(Section):
    """Cross-validation of the families on the sites."""

    folds: int = Field(10, ge=2, description="folds of each repeat")
    repeats: int = Field(10, ge=1, description="repeats of each scheme; the study has 100")
    schemes: tuple[Annotated[str, AfterValidator(_scheme)], ...] = Field(
        ("random", "knndm"),
        min_length=1,
        description="random; block: whole squares are held out; knndm: at distances like those of the map's cells; "
        "a splitter that is registered, or one of scikit-learn by its dotted name. The "
        "first chooses the family, the last sets the threshold of applicability",
    )
    block_km: float | None = Field(None, gt=0, description="side of a block; default: the range of spatial correlation")
    tuning: Literal["once", "nested"] = Field(
        "once", description="search hyperparameters once on all sites, as the study did, or inside every training fold"
    )
    coverage: int = Field(1, ge=0, description="repeats in which the coverage of prediction intervals is measured")
    independent: str | Observations | None = Field(
        None,
        description="table of sites that never train the model, to try the map at: a file, read with the keys of "
        "`observations`, or a section like `observations` (without `at_site`: the map itself is tried)",
    )

    @field_validator("independent")
    @classmethod
    def _of_the_map(cls, independent: str | Observations | None) -> str | Observations | None:
        if isinstance(independent, Observations) and independent.at_site:
            raise ValueError(
                "`at_site` does not apply here: independent sites test the map, with the covariates of cells"
            )
        return independent

    @field_validator("schemes")
    @classmethod
    def _once(cls, schemes: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({scheme for scheme in schemes if schemes.count(scheme) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice")
        return schemes


class Model(Section):
    """What is trained and mapped."""

    families: tuple[
        Annotated[FamilySpec, BeforeValidator(_family_entry, json_schema_input_type=str | FamilySpec)], ...
    ] = Field(
        (FamilySpec(name="xgboost"),), min_length=1, description="families to compare: names, or mappings with `name`"
    )
    mapped: str = Field(BEST, description="family that is mapped: best (lowest RMSE), a name, average or stack")
    validation: Validation = Validation()
    replicates: int = Field(100, ge=2, description="bootstrap replicates")
    interval: Annotated[float, AfterValidator(_level)] = Field(0.95, description="level of the prediction interval")
    prediction_interval: Literal["local", "jackknife_plus"] = Field(
        "local",
        description="what the prediction interval is: local, from the joint distribution of the errors, as wide as the "
        "place asks for (without `residual_error`, or with too few sites for it, jackknife_plus); jackknife_plus, from "
        "the replicates alone",
    )
    statistics: tuple[Annotated[str, AfterValidator(_statistic)], ...] = Field(
        (), description="layers of the map beside those that each has: names of registered statistics"
    )
    residual_error: bool = Field(
        True,
        description="intervals of cells, stocks and their ranges come from the joint distribution of the errors; "
        "false: stocks and ranges are those of the replicates, as in the study",
    )
    thresholds: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(
        (),
        description="values in units of the map (kg C/m² of carbon): for each a layer `probability_over_VALUE`, the "
        "probability that the cell's own mean is larger",
    )
    quantiles: tuple[Annotated[float, AfterValidator(_probability)], ...] = Field(
        (),
        description="probabilities: for each a layer `cell_qPERCENT` with that quantile of the cell's own mean; "
        "[0.05, 0.5] gives `cell_q05` and `cell_q50`",
    )
    seed: int = Field(20250731, ge=0, description="seed of all randomness")

    @property
    def local_intervals(self) -> bool:
        """Whether prediction intervals come from the joint distribution of the errors."""
        return self.residual_error and self.prediction_interval == "local"

    @field_validator("families")
    @classmethod
    def _once(cls, families: tuple[FamilySpec, ...]) -> tuple[FamilySpec, ...]:
        names = [f.name for f in families]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice")
        return families

    @field_validator("statistics")
    @classmethod
    def _each_once(cls, statistics: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in statistics if statistics.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice")
        return statistics

    @field_validator("thresholds", "quantiles")
    @classmethod
    def _ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"{', '.join(f'{value:g}' for value in twice)} is listed twice")
        # Layers come in the order of the numbers, and -0.0 is 0.
        return tuple(value + 0.0 for value in sorted(values))

    @model_validator(mode="after")
    def _of_the_joint_distribution(self) -> Self:
        asked = [name for name in ("thresholds", "quantiles") if getattr(self, name)]
        if asked and not self.residual_error:
            raise ValueError(
                f"{' and '.join(f'`{name}`' for name in asked)}: layers of cells come from the joint distribution of "
                "the errors, which `residual_error: false` switches off; leave out one or the other"
            )
        return self

    @property
    def asked(self) -> Asked:
        """Layers made on request from the joint distribution of the errors."""
        return Asked(self.thresholds, self.quantiles)

    @model_validator(mode="after")
    def _mapped_exists(self) -> Self:
        names = [f.name for f in self.families]
        if self.mapped not in (BEST, AVERAGE, STACK, *names):
            raise ValueError(f"`mapped: {self.mapped}` is neither best, average, stack nor among {', '.join(names)}")
        if self.mapped in (AVERAGE, STACK) and len(names) < 2:
            raise ValueError(f"`mapped: {self.mapped}` needs two families or more")
        return self
