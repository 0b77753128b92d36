"""What a few labels give from random weights, ImageNet's, and those of the model that ships.

The last also frozen, by a linear head and by one with a hidden layer, and learning more slowly than
its head.

``python benchmarks/start_weights.py FOLDER``, the folder of CK+, trains on a fifth of its labels,
which the model that ships has not seen, in five folds by person of which each seed tests on one,
and prints a JSON line a training: the same network, steps and settings, of which nothing was tuned.
``--seeds`` says how many; ``--epochs`` how long; ``--only`` from which start.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from hybridface import build_recipe, train

SHIPPED = {"checkpoint": "default"}
STARTS: dict[str, tuple[dict[str, Any], int | None]] = {  # of the backbone; a hidden layer's width
    "random": ({"init": "random"}, None),
    "imagenet": ({"init": "imagenet"}, None),
    "the model that ships": (SHIPPED, None),
    "the model that ships, a tenth of the rate": ({**SHIPPED, "learning_rate_factor": 0.1}, None),
    "the model that ships, frozen": ({**SHIPPED, "frozen": True}, None),
    "the model that ships, frozen, hidden layer": ({**SHIPPED, "frozen": True}, 512),
}


def recipe_of(start: str, seed: int, epochs: int, source: Path, run: Path) -> Any:
    """Return the recipe of one training."""
    backbone, hidden = STARTS[start]
    return build_recipe(
        {
            "run": str(run),
            "seed": seed,
            "data": {
                "source": f"ckplus:{source}",
                "size": 112,
                "fraction": 0.2,
                "folds": {"count": 5, "test": seed},
            },
            "backbone": {"name": "tf_efficientnet_lite1", **backbone},
            "augment": {"level": "strong"},
            "tasks": {"expression": {"dropout": 0.3, "hidden": hidden}},
            "training": {
                "epochs": epochs,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "validate_every": max(1, epochs // 4),
                "threads": 1,
            },
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--only", action="append", choices=STARTS, help="one start; repeat it")
    options = parser.parse_args()
    for seed in range(options.seeds):
        for name in options.only or STARTS:
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                recipe = recipe_of(name, seed, options.epochs, options.source, run)
                result = train(recipe).result
            row = {
                "start": name,
                "seed": seed,
                "epochs": options.epochs,
                "labels": result["train_rows"],
                "test_pictures": result["test"]["count"],
                "test_accuracy": result["test"]["accuracy"]["value"],
                "test_accuracy_last": result["test_last"]["accuracy"]["value"],
                "seconds": round(result["seconds"]),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
