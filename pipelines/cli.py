"""The command `gelisol`: its verbs, exit codes and messages."""

import io
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import engine
from engine.errors import GelisolError, InputError
from engine.formatting import counted
from pipelines import Stage

if TYPE_CHECKING:
    from engine.storage.paths import OutPath

EXIT_INPUT, EXIT_FAILED = 1, 3

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Map how much carbon permafrost soils hold, where, and how sure we are.\n\n"
    "`gelisol demo` shows it on made-up data; `gelisol init DOMAIN` starts a run of your own.",
)
errors = Console(stderr=True)

ProgressStyle = StrEnum("ProgressStyle", {"auto": "auto", "bars": "bars", "lines": "lines", "json": "json"})
LogLevel = StrEnum("LogLevel", {"debug": "debug", "info": "info", "warning": "warning", "error": "error"})
Size = StrEnum("Size", {"small": "small", "full": "full"})
Sites = StrEnum("Sites", ["random", "clustered", "preferential", "transect"])
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, e.g. model.replicates=20.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run file.")]
Out = Annotated[str | None, typer.Option(help="Results folder, or s3://BUCKET/PREFIX, instead of the run file's.")]


@contextmanager
def _reported(log: str | None = None) -> Iterator[None]:
    """Turn errors into messages and exit codes: 1 the input is at fault, 3 the run failed.

    A batch system's request to end (SIGTERM) stops a run in order, as Ctrl-C does.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except InputError as error:
        found = len(error.problems)
        errors.print(f"[bold red]{found} problem{'s' if found > 1 else ''} with the input:[/]")
        for problem in error.problems:
            errors.print(f"• {problem}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_INPUT) from None
    except KeyboardInterrupt:
        errors.print("Stopped. What is done is kept: the same command goes on from there.")
        raise typer.Exit(EXIT_FAILED) from None
    except Exception as error:
        if isinstance(error, GelisolError) or _is_of_disk_or_store(error):
            text = f"The run failed: {_said_by_store(error) or error}"
            errors.print(text, style="bold red", markup=False, soft_wrap=True)
            errors.print("What is done is kept: the same command goes on from there.")
            raise typer.Exit(EXIT_FAILED) from None
        where = _write_traceback(Path(log or "."))
        text = f"The run failed unexpectedly: {type(error).__name__}: {error}"
        errors.print(text, style="bold red", markup=False, soft_wrap=True)
        errors.print(f"Details are in {where}; what is done is kept. Please report this.", markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_FAILED) from None


def _is_of_disk_or_store(error: Exception) -> bool:
    from engine.storage.paths import is_of_store

    return is_of_store(error)


def _said_by_store(error: Exception) -> str:
    from engine.storage.paths import said_by_store

    return said_by_store(error)


def _write_traceback(directory: Path) -> Path:
    file = (directory if directory.is_dir() else Path.cwd()) / "gelisol-error.log"
    file.write_text(traceback.format_exc(), encoding="utf-8")
    return file


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"gelisol {engine.__version__}")
        raise typer.Exit


@app.command(epilog="Example: `gelisol demo --out out/virtual --size small`")
def demo(
    out: Annotated[
        str, typer.Option(help="Results folder; the made-up input goes to its subfolder `input`.")
    ] = "out/virtual",
    size: Annotated[Size, typer.Option(help="small: 5 km cells; full: the study's 1 km.")] = Size["small"],
    sites: Annotated[
        Sites,
        typer.Option(
            help="random: as in the study; clustered: along roads; preferential: drawn to carbon-rich ground; "
            "transect: along one line."
        ),
    ] = Sites["random"],
    repeated_cores: Annotated[
        int, typer.Option(min=0, max=147, help="Sites with one or two further cores from the same square kilometre.")
    ] = 0,
    position_error: Annotated[
        float, typer.Option(min=0, max=5000, help="SD of either coordinate of the places that are reported, m.")
    ] = 0.0,
    settings: Settings = None,
) -> None:
    """Make a virtual permafrost region whose truth is known, and map it."""
    from engine.extras import require
    from pipelines.preflight.prepare import open_run
    from pipelines.progress import Display
    from pipelines.run.execute import execute

    display = Display()
    with _reported(out):
        require("report", "The virtual region and its report")
        require("search", "The search of its models' hyperparameters")
        from pipelines.virtual import Sampling, make

        if "://" in out:
            raise InputError(
                f"--out {out}: the made-up input is written beside the results; give a folder. What is in its `input` "
                f"can then be mapped to an object store: gelisol run FOLDER/input/run.yaml --out {out}"
            )
        directory = Path(out)
        display.say(f"virtual region ({size}): made-up data, no real place")
        sampling = Sampling(sites.value, repeated_cores, position_error)
        run_file = make(directory / "input", size.value, on_step=display.say, sampling=sampling)
        execute(open_run(run_file, tuple(settings or ()), directory.resolve()), display=display)


@app.command(epilog="Example: `gelisol init circumpolar north` writes `north/run.yaml`")
def init(
    domain: Annotated[str, typer.Argument(help="A domain of the catalogue, or `blank`.")],
    directory: Annotated[str | None, typer.Argument(metavar="[DIR]", help="Default: a folder named like it.")] = None,
) -> None:
    """Write a commented run file, with what else the catalogue has of a domain, into a folder."""
    with _reported():
        if directory and "://" in directory:
            raise InputError(
                f"{directory}: a run file is written to a folder on disk; its results may go there, with output.dir"
            )
        catalogue = resources.files("catalogs")
        domains = sorted(d.name for d in catalogue.iterdir() if d.joinpath("run.yaml").is_file())
        wanted = domain.replace("-", "_")
        if wanted not in domains:
            raise InputError(
                f"{domain!r} is not in the catalogue; it has {', '.join(d.replace('_', '-') for d in domains)}"
            )
        target = Path(directory or domain)
        if (target / "run.yaml").exists():
            raise InputError(f"{target / 'run.yaml'} is there already; it is not overwritten. Choose another folder.")
        target.mkdir(parents=True, exist_ok=True)
        with resources.as_file(catalogue) as root:
            for file in sorted((root / wanted).iterdir()):
                if file.is_file() and file.suffix != ".py":
                    shutil.copyfile(file, target / file.name)
            _copy_descriptions(root / "sources", target)
        _write_schema(target)
        typer.echo(f"{target / 'run.yaml'} is ready to edit; then: gelisol check {target / 'run.yaml'}")


def _write_schema(target: Path) -> None:
    """Leave the schema beside the run files, and name it in their first lines: editors then complete and check keys."""
    from pipelines.runfile.json_schema import FILE, HEAD, schema_text

    (target / FILE).write_text(schema_text(), encoding="utf-8")
    for file in target.glob("run*.yaml"):
        file.write_text(HEAD + file.read_text(encoding="utf-8"), encoding="utf-8")


def _copy_descriptions(source: Path, target: Path) -> None:
    """Copy the descriptions of data sets that the run files name."""
    text = "".join(file.read_text(encoding="utf-8") for file in target.glob("*.yaml"))
    for file in sorted(source.glob("*.json")):
        if f"sources/{file.name}" in text:
            (target / "sources").mkdir(exist_ok=True)
            shutil.copyfile(file, target / "sources" / file.name)


@app.command(
    epilog="Examples: `gelisol check run.yaml`, `gelisol check run.yaml --maps look`, `gelisol check run.yaml --deep`"
)
def check(
    run_file: RunPath,
    out: Out = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for a small map of each source, as PNG; reads a year of each.")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Search STAC catalogs anew.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compare every result with its checksum; `run` redoes what is damaged.")
    ] = False,
    settings: Settings = None,
) -> None:
    """Open everything and look at some values: sources, grid, plan, memory and disk, and every problem found."""
    from pipelines.commands.check import show
    from pipelines.commands.verify import check_results
    from pipelines.preflight.inspection import Inspection
    from pipelines.preflight.memory import require_promised_memory
    from pipelines.preflight.prepare import survey
    from pipelines.preflight.thumbnails import draw_maps
    from pipelines.preflight.waiting import watch

    with _reported():
        inspection, console = Inspection(watch(errors)), Console(width=None if sys.stdout.isatty() else 140)
        found = survey(
            run_file, tuple(settings or ()), _place(out), refresh=refresh, inspect=inspection, watch=watch(errors),
            probe=True,
        )  # fmt: skip
        show(found, inspection, console)
        prepared = found.prepared()
        require_promised_memory(prepared)
        if deep:
            check_results(prepared, console)
        if maps:
            drawn = draw_maps(prepared.grid, dict(prepared.plan.sources), maps)
            typer.echo(f"{counted(len(drawn), 'map')} in {maps}")


@app.command(epilog="Example: `gelisol sources run.yaml`")
def sources(run_file: RunPath, settings: Settings = None) -> None:
    """List the sources of a run file: where from, whose, under which licence. Opens none of them."""
    from pipelines.commands.sources import source_table
    from pipelines.runfile.reader import load

    with _reported():
        config, base = load(run_file, tuple(settings or ()))
        Console(width=None if sys.stdout.isatty() else 200).print(source_table(config, base))


@app.command(
    epilog="Example: `gelisol search https://planetarycomputer.microsoft.com/api/stac/v1 "
    "--collection modis-17A3HGF-061 --bbox 117,47,130,54 --period 2001-2020 --asset Npp_500m`"
)
def search(
    api: Annotated[str, typer.Argument(metavar="API", help="A STAC API, or a static catalog (address or JSON file).")],
    collection: Annotated[str | None, typer.Option(help="Id of a collection; without it they are listed.")] = None,
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees.")] = None,
    period: Annotated[str | None, typer.Option(help="First and last year, e.g. 2000-2020.")] = None,
    asset: Annotated[str | None, typer.Option(help="Key of the asset to read.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Property that items must have, e.g. platform=terra.")
    ] = None,
) -> None:
    """Look for items and print the entry of the run file that reads them; what was found goes to stderr."""
    from engine.extras import require

    with _reported():
        require("stac", "Searches of STAC catalogs")
        from pipelines.commands import search as stac_entry

        if collection is None:
            for name, title in stac_entry.list_collections(api):
                typer.echo(f"{name}: {title}" if title else name)
            return
        years, conditions = _years(period), _conditions(query or [])
        found, items = stac_entry.search(api, collection, _bbox(bbox), years, conditions)
        for line in stac_entry.describe(items):
            typer.echo(line, err=True)
        typer.echo(stac_entry.entry(api, found, items, asset, years, conditions), nl=False)


def _place(out: str | None) -> "OutPath | None":
    """Return the results folder that the command line names."""
    from engine.storage.paths import out_path

    return None if out is None else out_path(out, Path.cwd())


def _bbox(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--bbox {text}: expected west,south,east,north in degrees, e.g. 117,47,130,54") from None
    return west, south, east, north


def _years(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise InputError(f"--period {text}: expected the first and the last year, e.g. 2000-2020")
    return int(first), int(last or first)


def _conditions(texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--query {text}: expected KEY=VALUE, e.g. platform=terra")
        try:
            found[key] = float(value) if not value.isdigit() else int(value)
        except ValueError:
            found[key] = value
    return found


@app.command(epilog="Examples: `gelisol run run.yaml`, `gelisol run run.yaml --until train --set model.replicates=20`")
def run(
    run_file: RunPath,
    out: Out = None,
    until: Annotated[Stage, typer.Option(help="Last stage to run.")] = Stage.REPORT,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do every stage again.")] = False,
    settings: Settings = None,
    progress: Annotated[
        ProgressStyle, typer.Option(help="bars; lines, for a log; json: events on standard output. auto: what fits.")
    ] = ProgressStyle["auto"],
    log_level: Annotated[LogLevel, typer.Option(help="What goes to gelisol.log in the results folder.")] = LogLevel[
        "info"
    ],
    performance_report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also write Dask's performance report.")
    ] = None,
) -> None:
    """Run all stages that are not done yet, or have become stale; after an interruption, go on where it stopped."""
    from pipelines.preflight.prepare import open_run
    from pipelines.progress import Display
    from pipelines.run.execute import execute

    with _reported(out):
        execute(
            open_run(run_file, tuple(settings or ()), _place(out), refresh=fresh),
            until=until.value,
            fresh=fresh,
            display=Display(style=progress.value),
            log_level=log_level.value.upper(),
            performance=performance_report,
        )


@app.command(epilog="Example: `gelisol schema > gelisol.schema.json`")
def schema() -> None:
    """Print the JSON Schema of the run file, by which editors complete keys and mark mistakes."""
    from pipelines.runfile.json_schema import schema_text

    typer.echo(schema_text(), nl=False)


@app.command(epilog="Examples: `gelisol status out/north`, `gelisol status out/north --json`")
def status(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Results folder, or s3://BUCKET/PREFIX.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show how far a run is, whether it works and where, or how it ended; from any machine that sees the folder."""
    from engine.storage.paths import out_path
    from pipelines.commands.status import read_status

    with _reported():
        found = read_status(out_path(directory, Path.cwd()))
        if as_json:
            typer.echo(found.as_json())
        else:
            found.show(Console(width=None if sys.stdout.isatty() else 140))


@app.command(epilog="Example: `gelisol report out/virtual`")
def report(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a finished run, or s3://BUCKET/PREFIX.")],
) -> None:
    """Redo figures, page and catalogue from what is in a results folder."""
    from engine.execution.ledger import Ledger
    from engine.execution.lock import locked
    from engine.storage.paths import out_path, require_access
    from pipelines.progress import Display
    from pipelines.run.execute import amend_report, say_headline, update_words
    from pipelines.run.stages import redo_report
    from pipelines.runfile.reader import load

    with _reported(directory):
        place = out_path(directory, Path.cwd())
        require_access(place)
        if not (place / "run.yaml").exists():
            raise InputError(f"{directory}: holds no run.yaml, so it is not a results folder of `gelisol run`")
        config, _ = load(place / "run.yaml")
        with locked(place):
            display = Display()
            update_words(config, place, Ledger(place))
            redo_report(config, place, display)
            amend_report(place)
            say_headline(display, place)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no "²" or "•" shows "?"
    app()
