"""Write a model in eight bits, calibrated on training pictures of the recipe that it came from.

``python tools/quantize.py MODEL RECIPE OUT.onnx`` is for a model whose run is gone, such as the one
that ships: ``hybridface export`` would calibrate on whole data sets, test rows among them. MODEL is
a file or ``default``, RECIPE a resolved recipe, as ``benchmarks/results/default/hybrid.yaml``; the
data have to lie where it says. It prints how near OUT comes to MODEL on validation pictures.
``--keys FILE`` writes the names of the test rows there, a line each, for ``benchmarks``.
"""

import argparse
from pathlib import Path

from hybridface.config import load_recipe
from hybridface.data.prepare import prepare_data
from hybridface.export.comparison import compare
from hybridface.export.pictures import BATCH, as_input, pictures_of_split
from hybridface.export.precision import convert
from hybridface.inference.runtime import FaceModel
from hybridface.inference.shipped import find_model
from hybridface.tasks import build_tasks, label_columns


def quantize(model: Path, recipe_file: Path, out: Path, count: int, keys: Path | None) -> None:
    """Write the model in eight bits."""
    if out.exists():
        raise SystemExit(f"{out}: is there already; name another file")
    recipe = load_recipe(recipe_file)
    data = prepare_data(recipe.data, label_columns(build_tasks(recipe.tasks)), recipe.seed)
    train, val = (pictures_of_split(data, split, count) for split in ("train", "val"))
    convert(model, out, "int8", as_input(train))
    wanted = FaceModel.load(model).predict(val, BATCH)
    for name, each in compare(FaceModel.load(out), wanted, val).items():
        print(f"{name}: {each.describe('validation pictures')}")
    if keys is not None:
        names = [data.keys[row] for row in data.splits["test"]]
        keys.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=512, help="of each split, at most")
    parser.add_argument("--keys", type=Path, help="where the names of the test rows go")
    given = parser.parse_args()
    quantize(find_model(given.model), given.recipe, given.out, given.pictures, given.keys)


if __name__ == "__main__":
    main()
