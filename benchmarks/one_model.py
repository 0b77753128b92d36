"""One model for four tasks beside one model a task: ``python benchmarks/one_model.py FOLDER``.

All arms have the backbone, settings and epochs of ``configs/one-model.yaml``, so that each picture
is seen as often in all of them; an arm of one task has the data set with its labels alone, in
batches of a third, so that a head makes about as many steps with about as many pictures as in the
arms of all. ``one, with puzzle`` adds the puzzle in a view of its own; ``one, small batches`` has
those of an arm of one task; ``one, learned weights`` weighs the losses by uncertainty. The seed
decides test fold, weights and order, the same for all arms. A row for each arm, seed and task
goes to ``benchmarks/results/one_model.jsonl`` as a training ends; finished ones are not repeated.
``--seed`` and ``--arm``, which may be said again, leave the rest out, so that several processes
share the work. ``--table`` prints what the rows say. Further arguments are overrides of the recipe.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent / "results" / "one_model.jsonl"
RECIPE = Path(__file__).parent.parent / "configs" / "one-model.yaml"
LABELS = {"expression": "rafdb", "gender": "utkface", "age": "utkface", "pose": "aflw2000"}
PUZZLE = "one, with puzzle"
SMALL_BATCHES = "one, small batches"
LEARNED_WEIGHTS = "one, learned weights"
ARMS = ("one", *LABELS, SMALL_BATCHES, LEARNED_WEIGHTS, PUZZLE)
SEEDS = (0, 1, 2)


def content_of(arm: str, seed: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the recipe of an arm, as the mapping that a recipe is made of."""
    from hybridface.config.content import drop_tasks, merge, override, read_yaml

    content = override(read_yaml(RECIPE), overrides)
    content["seed"] = seed
    alone = arm if arm in LABELS else None
    if alone or arm == SMALL_BATCHES:
        batch = content["training"]["batch_size"] // len(content["data"]["sources"])
        content = merge(content, {"training": {"batch_size": batch}})
    sources = {
        name: merge(each, {"folds": {"test": seed % 5}})
        for name, each in content["data"]["sources"].items()
        if alone is None or name == LABELS[alone]
    }
    content["data"] = {**content["data"], "sources": sources}
    tasks = {name: content["tasks"][name] for name in LABELS if alone in (None, name)}
    if arm == PUZZLE:
        tasks["puzzle"] = {"grid": 2, "weight": 0.1}
    if arm == LEARNED_WEIGHTS:
        content = merge(content, {"training": {"loss_balance": "uncertainty"}})
    return drop_tasks({**content, "tasks": tasks})


def rows_of(arm: str, seed: int, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a row for each task of a finished run."""
    for task, figures in result["tasks"].items():
        measure = "accuracy" if "accuracy" in figures["test"] else "mae"
        values = {split: figures[split][measure]["value"] for split in ("val", "test", "test_last")}
        yield {
            "arm": arm, "seed": seed, "task": task, "measure": measure, **values,
            "pictures": result["pictures"], "seconds": round(result["seconds"], 1),
            "parameters": result["parameters"],
        }  # fmt: skip


def known(rows: Path) -> list[dict[str, Any]]:
    """Return the rows that are there."""
    lines = rows.read_text(encoding="utf-8").splitlines() if rows.exists() else []
    return [json.loads(line) for line in lines]


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give, for each task, the arms that have it: test figures, and differences to the task's own.

    A difference is of the seeds that both have, with its 95 % t interval.
    """
    from hybridface.evaluation.statistics import paired_difference

    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for row in rows:
        found[row["task"], row["arm"]][row["seed"]] = row
    yield "| task | arm | test | difference to its own model | seconds | weights | seeds |"
    yield "|---|---|---|---|---|---|---|"
    for task in LABELS:
        own = found[task, task]
        for arm in (task, "one", SMALL_BATCHES, LEARNED_WEIGHTS, PUZZLE):
            cells = found[task, arm]
            seeds = sorted(cells.keys() & own.keys())
            if not seeds:
                continue
            values = [cells[seed]["test"] for seed in seeds]
            change = "-"
            if arm != task:
                against = paired_difference(values, [own[seed]["test"] for seed in seeds])
                bounds = f" ({against.low:+.3f} to {against.high:+.3f})" if len(seeds) > 1 else ""
                change = f"{against.mean:+.3f}{bounds}"
            mean = sum(values) / len(values)
            seconds = sum(cells[seed]["seconds"] for seed in seeds) / len(seeds)
            weights = f"{cells[seeds[0]]['parameters']:,}"
            measure = cells[seeds[0]]["measure"]
            yield (
                f"| {task} ({measure}) | {'its own' if arm == task else arm} | {mean:.3f} | "
                f"{change} | {seconds:,.0f} | {weights} | {len(seeds)} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the runs go")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append", help="this one alone")
    parser.add_argument("--arm", choices=ARMS, action="append", help="this one alone")
    parser.add_argument("--table", action="store_true", help="print what the rows say")
    parser.add_argument("overrides", nargs="*", help="keys of the recipe, as key=value")
    given = parser.parse_args()
    if given.table:
        print("\n".join(table(known(ROWS))))
        return
    if given.folder is None:
        parser.error("name a folder for the runs")
    from hybridface import build_recipe, train

    for seed in given.seed or SEEDS:
        for arm in given.arm or ARMS:
            if any((row["arm"], row["seed"]) == (arm, seed) for row in known(ROWS)):
                continue
            run = given.folder / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
            content = {**content_of(arm, seed, given.overrides), "run": str(run)}
            trained = train(build_recipe(content), resume=True)
            with ROWS.open("a") as file:
                for row in rows_of(arm, seed, trained.result):
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
