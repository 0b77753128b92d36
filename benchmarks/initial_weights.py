"""Compare random weights with and without residual blocks that start as the identity.

``python benchmarks/initial_weights.py FOLDER [epochs]`` trains the supervised arm of
``configs/studies/rafdb-20.yaml`` on its tuning seed both ways, learning rates 2e-3 and 4e-3, and
prints one JSON line a run: validation accuracy by epoch. The test fold is not read.
"""

import json
import sys
from pathlib import Path

from hybridface.config import build_recipe
from hybridface.config.content import read_yaml
from hybridface.training.runs import RunFolder
from hybridface.training.train import train

STUDY = Path(__file__).parents[1] / "configs" / "studies" / "rafdb-20.yaml"


def main() -> None:
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16
    study = read_yaml(STUDY)
    for learning_rate in (2e-3, 4e-3):
        for zero in (False, True):
            content = study["recipe"] | {
                "run": str(folder / f"zero-{zero}-{learning_rate}"),
                "seed": study["tuning_seed"],
                "backbone": study["recipe"]["backbone"] | {"zero_init_residual": zero},
                "tasks": {"expression": {"dropout": 0.5}},
                "training": study["recipe"]["training"]
                | {
                    "epochs": epochs,
                    "learning_rate": learning_rate,
                    "weight_decay": 0.2,
                    "test": False,
                },
            }
            recipe = build_recipe(content, str(STUDY))
            train(recipe, resume=True)
            lines = RunFolder(recipe.run).metrics.read_text().splitlines()
            curve = {
                row["epoch"]: round(row["val"]["accuracy"], 4) for row in map(json.loads, lines)
            }
            print(
                json.dumps(
                    {
                        "zero_init_residual": zero,
                        "learning_rate": learning_rate,
                        "epochs": epochs,
                        "val_accuracy": curve,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
