"""The commands that train: train, study and demo; and what a recipe can say."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridface.cli.options import (
    Overrides,
    Quiet,
    decoding_progress,
    folder_of,
)
from hybridface.errors import DataError, HybridFaceError, UsageError, printable
from hybridface.extras import training_extra
from hybridface.files import read_json_object


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
        _say_problems(trained.folder)
        _say_result(trained.folder, trained.result)
        from hybridface.report.run import write_run_report

        print(f"report: {write_run_report(trained.folder)}")
        if why := trained.result.get("not_exported"):
            raise HybridFaceError(
                f"{why}; figures, weights and report of the run are there, and --resume tries the "
                "export again"
            )


def _say_problems(folder: Path) -> None:
    """Count what was skipped in the data and name the first, which nobody would look for."""
    try:
        problems = read_json_object(folder / "data.json")["problems"]
    except (DataError, KeyError):  # of which the report speaks
        return
    if problems:
        first = f"{problems[0]['where']}: {problems[0]['what']}"
        print(printable(f"skipped: {len(problems)} in the data, the first {first}"))


def _say_result(folder: Path, result: dict[str, Any]) -> None:
    tasks = result.get("tasks", {})
    for task, splits in tasks.items():
        for split in ("val", "test"):
            if figures := splits.get(split):
                print(f"{f'{task}, ' if len(tasks) > 1 else ''}{split}: {_figures(figures)}")
                by_source = figures.get("by_source", {})
                for source, part in by_source.items() if len(by_source) > 1 else ():
                    print(f"  on {source}: {_figures(part)}")
    if result["label"] is None:
        print(f"no supervised task, so no model.onnx; start from it: backbone.checkpoint={folder}")
    elif "not_exported" not in result:
        print(f"model: {folder / 'model.onnx'}")


def _figures(figures: dict[str, Any]) -> str:
    measure = "accuracy" if "accuracy" in figures else "mae"
    value, interval = figures[measure]["value"], figures[measure]["ci95"]
    within = f" (95 % {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    said = f"{'accuracy' if measure == 'accuracy' else 'mean absolute error'} {value:.4f}{within}, "
    if measure == "accuracy":
        said += f"mean class accuracy {figures['mean_class_accuracy']['value']:.4f}, "
    return f"{said}{figures['count']} pictures"


def study(
    study_file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study, a YAML file.")],
    overrides: Overrides = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at once; default 1.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="The .json file of the results; default as the study says.")
    ] = None,
    *,
    ray: Annotated[
        str | None,
        typer.Option(help="Train on a Ray cluster: local, auto, or its address; extra [ray]."),
    ] = None,
    cell_cpus: Annotated[
        float | None, typer.Option(min=0, help="CPUs of a training on the cluster; default 1.")
    ] = None,
    cell_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of a training on the cluster; default 0.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the trainings and about how long each takes.")
    ] = False,
    take: Annotated[
        list[Path] | None,
        typer.Option(help="Results of this study from another machine, NAME.json."),
    ] = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Write results and page of what is finished; train nothing."),
    ] = False,
) -> None:
    """Train the methods of a study over seeds and compare them; goes on where it stopped."""
    if ray is not None and jobs is not None:
        raise UsageError("--jobs: a Ray cluster trains what it has room for at once; leave it out")
    of_cluster = {"--cell-cpus": cell_cpus, "--cell-gpus": cell_gpus}
    for name, given in of_cluster.items():
        if ray is None and given is not None:
            raise UsageError(f"{name}: is of a Ray cluster; name one by --ray, or leave it out")
    if dry_run and page:
        raise UsageError("--dry-run and --page: one only looks, the other writes; leave one out")
    with training_extra():
        from hybridface.study import Study, load_study
    config = load_study(study_file)
    if results is not None:
        config = config.model_copy(update={"results": results})
    with training_extra(), ExitStack() as held:
        chosen = Study(config, overrides or [], jobs or 1, say=lambda line: print(line, flush=True))
        for file in take or []:
            print(f"{file}: {chosen.take(file)}")
        if page:
            print(f"{config.results}: {chosen.write()} rows")
            return
        if dry_run:
            from hybridface.study.plan import describe, plan

            print("\n".join(describe(plan(chosen), chosen.guessed, jobs or 1)))
            return
        if sys.stdout.isatty():
            from hybridface.study.live import LiveTable

            table = held.enter_context(LiveTable())
            chosen.say, chosen.show = table.say, table.show
        if ray is not None:
            from hybridface.study.ray_cluster import RayCluster

            cpus = 1 if cell_cpus is None else cell_cpus
            chosen.cluster = held.enter_context(RayCluster(ray, cpus, cell_gpus or 0))
        chosen.run()


def demo(
    data: Annotated[
        str | None, typer.Argument(help="KIND:PATH, as in folder:/my/faces; default drawn faces")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the runs and the report.", parser=folder_of("--out"), metavar="<path>"
        ),
    ] = Path("runs/demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train supervised and hybrid with few labels beside each other, and write a report."""
    with training_extra():
        from hybridface.demo import DRAWN, run_demo

    progress = None if quiet else decoding_progress()
    run_demo(data or DRAWN, out, resume=resume, progress=progress, show_progress=not quiet)


def tasks() -> None:
    """List the tasks that a recipe can name, with their options."""
    import json

    from pydantic_core import to_jsonable_python

    with training_extra():
        from hybridface.tasks import task_types
    for name, kind in task_types().items():
        nature = "supervised" if kind.supervised else "self-supervised, dropped at inference"
        print(f"{name}: {kind.summary} ({nature})")
        for option, field in kind.Config.model_fields.items():
            print(f"    {option}: {json.dumps(to_jsonable_python(field.default))}")
    print("one of your own: tasks.NAME.type=pkg.module:Class, a hybridface.tasks.base.Task")


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
