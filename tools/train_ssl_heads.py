"""Train the self-supervised heads of a finished run on, with all else frozen.

``python tools/train_ssl_heads.py RUN OUT --minutes 12`` writes a run folder with the backbone and
the supervised heads of RUN's last epoch, so its figures are those that ``result.json`` has as
``_last``, and with heads for the puzzle and the hole that fit them better: for showing what such
heads do where co-training gave them little. The backbone is in the mode in which it is used, every
picture counts for both tasks, and the pictures are those of the training split.
"""

import argparse
import shutil
import time
from pathlib import Path

import torch

from hybridface.augment import augment
from hybridface.config import load_recipe
from hybridface.data.batches import make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import prepare_data
from hybridface.tasks import label_columns, resolve_tasks
from hybridface.training.build import build_module
from hybridface.training.runs import RunFolder, load_weights, save_weights

BATCH = 64
SAID_EVERY = 100


def train_heads(run: Path, out: Path, minutes: float, rate: float) -> None:
    """Train the heads for some minutes and write a run folder with them."""
    if out.exists():
        raise SystemExit(f"{out}: is there already; name another folder")
    if not minutes > 0:
        raise SystemExit(f"--minutes {minutes:g}: expected more than 0")
    folder = RunFolder(run)
    recipe, tasks = resolve_tasks(load_recipe(folder.recipe))
    own = [task for task in tasks if not task.supervised]
    if not own:
        raise SystemExit(f"{run}: has no self-supervised head to train")
    data = prepare_data(recipe.data, label_columns(tasks), recipe.seed)
    _, model = build_module(recipe, tasks, data)
    load_weights(model, folder.last)
    model.eval().requires_grad_(False)
    heads = torch.nn.ModuleList(model.heads[task.name] for task in own).requires_grad_(True)
    optimizer = torch.optim.AdamW(heads.train().parameters(), lr=rate, weight_decay=0.05)
    order = BatchOrder(len(data.splits["train"]), BATCH, seed=recipe.seed + 1)
    generator = torch.Generator().manual_seed(recipe.seed)
    start, step = time.monotonic(), 0
    done = 0.0
    while done < 1:
        order.set_epoch(step)
        for batch in make_loader(data, "train", order):
            done = (time.monotonic() - start) / (60 * minutes)
            if done >= 1:
                break
            optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 50) * (1 - done)
            images = augment(batch.images, "weak", generator)
            said = {}
            for task in own:
                view = task.make_view(images, batch, generator)
                with torch.no_grad():
                    features = model.features(view.images)
                output = task.answer(model.heads[task.name], features, view.target)
                loss = task.loss(output, view.target)
                loss.backward()
                said |= {
                    f"{task.name}/{n}": v for n, v in task.measure(output, view.target).items()
                }
            torch.nn.utils.clip_grad_norm_(heads.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if step % SAID_EVERY == 0:
                print(
                    step, {name: round(float(value), 3) for name, value in said.items()}, flush=True
                )
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("*.safetensors", "*.onnx", "*.ckpt"))
    for place in (RunFolder(out).best, RunFolder(out).last):
        save_weights(model.eval(), place)
    print(f"{step} steps of {BATCH} pictures in {minutes:g} minutes")


def main() -> None:
    """Train the heads that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    options = parser.parse_args()
    train_heads(options.run, options.out, options.minutes, options.learning_rate)


if __name__ == "__main__":
    main()
