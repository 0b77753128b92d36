"""The demonstration: supervised beside hybrid, same settings, few labels, one page at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hybridface.config import build_recipe
from hybridface.config.content import merge
from hybridface.data.cache import Progress
from hybridface.data.sources import open_source
from hybridface.report.comparison import write_comparison_report
from hybridface.training.runs import RunFolder
from hybridface.training.train import TrainedRun, train

DRAWN = "drawn:3000"
NOTICE_DRAWN = "one seed, drawn faces: not evidence"
NOTICE_OWN = "one seed: not evidence"
OWN = "demo folder:/path/to/your/faces --out runs/my-demo"

# Fixed before any result was seen; chosen to end within four minutes on two cores.
SHARED: dict[str, Any] = {
    "seed": 0,
    "data": {"size": 48, "fraction": 0.5},
    "backbone": {"name": "mobilenetv3_small_100", "init": "random"},
    "augment": {"level": "weak"},
    "tasks": {"expression": {}},
    "training": {
        "epochs": 14,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "ema": 0.98,
        "validate_every": 2,
    },
}
ARMS: dict[str, dict[str, Any]] = {
    "supervised": {},
    "hybrid": {"tasks": {"puzzle": {"grid": 2, "weight": 0.1, "view": "own"}}},
}


def run_demo(
    source: str = DRAWN,
    out: Path = Path("runs/demo"),
    *,
    resume: bool = False,
    progress: Progress | None = None,
    show_progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Train both arms, print a table and write a self-contained page.

    Args:
        source: ``KIND:PATH``; the drawn faces by default.
        out: Folder of both runs and of ``report.html``.
        resume: Go on with a demonstration that lies there.
        progress: Called with (done, total) while pictures are decoded.
        show_progress: Show progress bars.
        say: Called with each line of text.

    Returns:
        The page.

    Raises:
        HybridFaceError: Names what is wrong with the data or the folder.
    """
    drawn = source.startswith("drawn:")
    data: dict[str, Any] = {"source": source}
    if not (open_source(source).read().split == "test").any():
        data["folds"] = {"count": 5}
    notice = NOTICE_DRAWN if drawn else NOTICE_OWN
    runs: dict[str, TrainedRun] = {}
    for number, (name, change) in enumerate(ARMS.items(), start=1):
        content = merge(merge(SHARED, change), {"run": str(out / name), "data": data})
        if drawn:  # steps so small are no faster with more threads
            content = merge(content, {"training": {"threads": 1}})
        recipe = build_recipe(content, f"demo arm {name}")
        if resume and RunFolder(recipe.run).result.exists():
            say(f"[{number}/{len(ARMS)}] {name} was trained before; remove {out} to train it anew")
        else:
            epochs = recipe.training.epochs
            say(f"[{number}/{len(ARMS)}] training {name} on {source}, {epochs} epochs")
        runs[name] = train(recipe, resume=resume, progress=progress, show_progress=show_progress)
    page = write_comparison_report(
        {name: run.folder for name, run in runs.items()},
        out / "report.html",
        title="Supervised beside hybrid" + (" on drawn faces" if drawn else ""),
        notice=notice,
        command=f"hybridface {OWN}",
    )
    _print_table(runs)
    say(f"{notice}.")
    say(f"Report: {page}")
    if drawn:
        called = sys.argv[0] if Path(sys.argv[0]).name == "hybridface" else "hybridface"
        say("The same on your own faces, one folder a class:")
        say(f"  {called} {OWN}")
    return page


def _print_table(runs: dict[str, TrainedRun]) -> None:
    table = Table("arm", "labels", "test accuracy", "95 %", "mean class acc.", "seconds")
    for name, run in runs.items():
        result = run.result
        test = result["test"] or result["val"]
        interval = test["accuracy"]["ci95"]
        table.add_row(
            name,
            str(result["train_rows"]),
            f"{test['accuracy']['value']:.3f}",
            f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "",
            f"{test['mean_class_accuracy']['value']:.3f}",
            f"{result['seconds']:.0f}",
        )
    Console().print(table)
