"""The command line; each command loads what it needs when it runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hybridface.errors import HybridFaceError
from hybridface.files import CACHE_LIMIT_GIB, DISK_FULL

app = typer.Typer(
    name="hybridface",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from hybridface import __version__

        print(f"hybridface {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Face models trained with hybrid learning: supervised and self-supervised together."""


data_app = typer.Typer(help="Data sets: which kinds there are.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes, as in training.epochs=10 data.fraction=0.2")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Label = Annotated[str | None, typer.Option(help="The data's label column.")]
CacheLimit = Annotated[
    float, typer.Option(min=0, help="GiB of decoded pictures that may be cached; above, workers.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that decode what is not cached; default by the cores."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, a YAML file.")],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model as a recipe says; leaves a run folder with model.onnx in it."""
    from hybridface.config import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    with training_extra():
        from hybridface.training.train import train as run

    trained = run(
        loaded,
        resume=resume,
        progress=None if quiet else decoding_progress(),
        show_progress=not quiet,
    )
    if trained.result:  # not in the others of several processes
        _say_result(trained.folder, trained.result)
        from hybridface.report.run import write_run_report

        print(f"report: {write_run_report(trained.folder)}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or an ONNX file.")],
    data: Annotated[str, typer.Option("--data", help="KIND:PATH")],
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; default test, else all")
    ] = None,
    *,
    as_json: Json = False,
    label: Label = None,
    out: Annotated[
        Path | None, typer.Option(help="A .npz file to keep the predictions in, for compare.")
    ] = None,
    cache_limit_gib: CacheLimit = CACHE_LIMIT_GIB,
    workers: Workers = None,
) -> None:
    """Measure a model on a data set; classes are matched by name."""
    from hybridface.evaluation.evaluate import run_evaluate

    progress = None if as_json else decoding_progress()
    code = run_evaluate(
        model, data, split, as_json, progress, label=label, out=out,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run folder, an ONNX file or a kept evaluation.")],
    b: Annotated[Path, typer.Argument(help="The same of the other model.")],
    data: Annotated[
        str | None, typer.Option(help="KIND:PATH; default the predictions that were kept")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; default test where there is one")
    ] = None,
    *,
    as_json: Json = False,
    label: Label = None,
    cache_limit_gib: CacheLimit = CACHE_LIMIT_GIB,
    workers: Workers = None,
) -> None:
    """Compare two models picture by picture: is B better than A, and how sure is that."""
    from hybridface.evaluation.compare import run_compare

    progress = None if as_json else decoding_progress()
    code = run_compare(
        a, b, data, split, as_json, label=label, progress=progress,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Face crops, or folders of them.")],
    model: Annotated[Path, typer.Option("--model", help="A run folder or an ONNX file.")],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table, a row a picture.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 64,
) -> None:
    """Say what a model sees in pictures of faces."""
    from hybridface.inference.predict import run_predict

    output: Literal["text", "json", "csv"] = "json" if as_json else "csv" if as_csv else "text"
    raise typer.Exit(run_predict(images, model, output, batch_size))


@app.command()
def study(
    study_file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study, a YAML file.")],
    overrides: Overrides = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells that train at once.")] = 1,
    results: Annotated[
        Path | None, typer.Option(help="Where the rows go; default as the study says.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and about how long each takes.")
    ] = False,
) -> None:
    """Compare methods over seeds; goes on where it stopped, writes rows as cells end."""
    from hybridface.study import Study, load_study

    config = load_study(study_file)
    if results is not None:
        config = config.model_copy(update={"results": results})
    with training_extra(), ExitStack() as held:
        chosen = Study(config, overrides or [], jobs, say=lambda line: print(line, flush=True))
        if dry_run:
            from hybridface.study.plan import describe, plan

            print("\n".join(describe(plan(chosen), chosen.guessed, jobs)))
            return
        if sys.stdout.isatty():
            from hybridface.study.live import LiveTable

            table = held.enter_context(LiveTable())
            chosen.say, chosen.show = table.say, table.show
        chosen.run()


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option(help="Where to; default RUN/report.html.")] = None,
    mistakes: Annotated[int, typer.Option(min=0, help="Worst mistakes to show.")] = 24,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="No pictures of the data set, nor their names.")
    ] = False,
) -> None:
    """Write a run's page: curves, confusion, calibration, worst mistakes, self-supervised tasks."""
    with training_extra():
        from hybridface.report.run import write_run_report

    print(write_run_report(run, out, pictures=not no_pictures, mistakes=mistakes))


@app.command()
def demo(
    data: Annotated[
        str | None, typer.Argument(help="KIND:PATH, as in folder:/my/faces; default drawn faces")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs and the report.")] = Path(
        "runs/demo"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train supervised and hybrid with few labels beside each other, and write a report."""
    with training_extra():
        from hybridface.demo import DRAWN, run_demo

    progress = None if quiet else decoding_progress()
    run_demo(data or DRAWN, out, resume=resume, progress=progress, show_progress=not quiet)


@app.command()
def tasks() -> None:
    """List the tasks that a recipe can name, with their options."""
    with training_extra():
        from hybridface.tasks import task_types
    for name, kind in task_types().items():
        nature = "supervised" if kind.supervised else "self-supervised, dropped at inference"
        print(f"{name}: {kind.summary} ({nature})")
        for option, field in kind.Config.model_fields.items():
            print(f"    {option}: {field.default!r}")
    print("one of your own: tasks.NAME.type=pkg.module:Class, a hybridface.tasks.base.Task")


@data_app.command("list")
def data_list() -> None:
    """List the kinds of data sets, with the layout that each expects."""
    from hybridface.data.sources import source_kinds

    for name, kind in source_kinds().items():
        print(f"{name}\n    {kind.layout}")
        for option, field in kind.Options.model_fields.items():
            print(f"    ?{option}={field.default}")
    print("one of your own: pkg.module:Class:PATH, a hybridface.data.source.Source")


@data_app.command("sheet")
def data_sheet(
    data: Annotated[str, typer.Argument(help="KIND:PATH")],
    out: Annotated[Path, typer.Option(help="A .png file; a sheet that is there is replaced.")],
    count: Annotated[int, typer.Option(min=1, max=400, help="Pictures on it.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Decides which pictures.")] = 0,
) -> None:
    """Draw some pictures of a data set with their labels and the axes of heads, to look at."""
    from hybridface.data.sheet import write_sheet

    shown = write_sheet(data, out, count=count, seed=seed)
    print(f"{out}: {shown} pictures; pictures of data sets are not to be published")


@app.command()
def config(
    recipe: Annotated[Path, typer.Argument(help="A recipe, a YAML file.")],
    overrides: Overrides = None,
) -> None:
    """Print a recipe with every default filled in."""
    from hybridface.config import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    with training_extra():
        from hybridface.tasks import resolve_tasks
    print(resolve_tasks(loaded)[0].to_yaml(), end="")


class training_extra:  # noqa: N801
    """Turns a missing training library into an error that says what to install."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Replace an ImportError of a training library."""
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("hybridface"):
            raise HybridFaceError(
                f"this needs the training libraries ({error.name} is missing): "
                'pip install "hybridface[train]"'
            ) from error


def decoding_progress() -> Callable[[int, int], None]:
    """Return a progress callback that writes to the terminal, if there is one."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\rdecoding pictures: {done}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def _say_result(folder: Path, result: dict[str, Any]) -> None:
    for split in ("val", "test"):
        if figures := result.get(split):
            accuracy = figures.get("accuracy", figures.get("mae"))
            interval = accuracy["ci95"]
            within = f" (95 % {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
            said = f"{split}: mean absolute error {accuracy['value']:.4f}{within}, "
            if "accuracy" in figures:
                said = (
                    f"{split}: accuracy {accuracy['value']:.4f}{within}, "
                    f"mean class accuracy {figures['mean_class_accuracy']['value']:.4f}, "
                )
            print(f"{said}{figures['count']} pictures")
    print(f"model: {folder / 'model.onnx'}")


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Stay silent on what a full disk does to TensorBoard's thread: it is raised again outside."""
    error = failure.exc_value
    if not (isinstance(error, OSError) and error.errno in DISK_FULL):
        threading.__excepthook__(failure)


def main() -> None:
    """Run the command line; an error that a person can act on is one message, no traceback."""
    threading.excepthook = _thread_failed
    try:
        app(standalone_mode=True)
    except HybridFaceError as error:
        print(f"hybridface: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        # typer turns Ctrl-C into an exit without a word, with code 130.
        stop = end.__context__ and end.__context__.__cause__
        if isinstance(stop, KeyboardInterrupt):
            print(f"hybridface: {stop}" if str(stop) else "hybridface: stopped", file=sys.stderr)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("HYBRIDFACE_DEBUG"):
            raise
        print(
            f"hybridface: failed unexpectedly: {type(error).__name__}: {error}\n"
            "  this is a defect: set HYBRIDFACE_DEBUG=1 to see where, and please report it",
            file=sys.stderr,
        )
        sys.exit(1)
