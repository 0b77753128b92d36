"""What the perceptual distance of in-painting sees, and what it costs.

``python benchmarks/perceptual.py [SOURCE]`` prints JSON lines. The first ones: pictures of SOURCE
(RAF-DB by default) have random holes, filled once by a blur and once by the true picture moved or
lightened, which no eye takes for a blur. The part of pictures whose blur is farther from the truth
than the other fill, by pixels and by the perceptual distance at several depths. The last ones: the
processor time of a training step with in-painting, for every picture or every n-th one compared,
as a multiple of the step without the perceptual distance; one thread, EfficientNet-B0, 48 px,
batches of 32.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torchvision.transforms.functional import gaussian_blur

from hybridface.config import BackboneConfig, build_recipe
from hybridface.data.batches import Batch
from hybridface.data.prepare import prepare_data
from hybridface.network.model import HybridModel, HybridStep
from hybridface.network.perceptual import PerceptualDistance
from hybridface.tasks import build_tasks
from hybridface.tasks.inpaint import random_holes

SIZE, COUNT, BATCH, ROUNDS = 48, 256, 32, 5
DEPTHS = ((0,), (1,), (2,), (3,), (1, 2, 3))


def pictures(source: str) -> Tensor:
    """Return ``(COUNT, 3, SIZE, SIZE)`` training pictures in [0, 1]."""
    recipe = build_recipe({"data": {"source": source, "size": SIZE}, "tasks": {"expression": {}}})
    data = prepare_data(recipe.data, ["expression"], seed=0)
    chosen = torch.from_numpy(data.images[data.splits["train"][:COUNT]])
    return chosen.permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def discrimination(truth: Tensor) -> None:
    holes = random_holes(len(truth), SIZE, 2, (0.25, 0.5), Generator().manual_seed(0))
    measures: dict[str, Callable[[Tensor], Tensor]] = {
        "pixels, l1": lambda filled: (filled - truth).abs().mean((1, 2, 3)),
        "pixels, l2": lambda filled: ((filled - truth) ** 2).mean((1, 2, 3)),
    }
    for depths in DEPTHS:
        network = PerceptualDistance("tf_efficientnet_lite0", 112, depths)
        name = f"perceptual, depths {', '.join(map(str, depths))}"
        measures[name] = lambda filled, network=network: network(filled, truth)
    others = {"moved by a pixel": truth.roll((1, 1), (2, 3)), "lighter by 0.1": truth + 0.1}
    for name, measure in measures.items():
        farther: dict[str, float] = {}
        for sigma in (2.0, 4.0):
            blurred = torch.where(holes, gaussian_blur(truth, [13, 13], [sigma, sigma]), truth)
            distance = measure(blurred)
            for other, fill in others.items():
                filled = torch.where(holes, fill.clamp(0, 1), truth)
                part = (distance > measure(filled)).float().mean().item()
                farther[f"blur {sigma:g} farther than {other}"] = round(part, 3)
        print(json.dumps({"measure": name, "pictures": len(truth), **farther}), flush=True)


def cost(truth: Tensor) -> None:
    images = truth[:BATCH].contiguous(memory_format=torch.channels_last)
    batch = Batch((truth[:BATCH] * 255).byte(), {}, {})
    variants = {"pixels": {}} | {
        f"every {n}": {"perceptual_weight": 1.0, "perceptual": {"every": n}} for n in (1, 2, 4, 8)
    }
    steps: dict[str, HybridStep] = {}
    for name, options in variants.items():
        tasks = build_tasks({"inpaint": options})
        model = HybridModel(BackboneConfig(), tasks, SIZE).to(memory_format=torch.channels_last)
        steps[name] = HybridStep(model.train(), tasks)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step(images, batch, Generator().manual_seed(turn))[0].backward()
            if turn:
                seconds[name].append(time.process_time() - start)
    plain = statistics.median(seconds["pixels"])
    for name, values in seconds.items():
        ratio = round(statistics.median(values) / plain, 2)
        print(json.dumps({"compared": name, "step": ratio, "torch": torch.__version__}))


def main() -> None:
    torch.set_num_threads(1)
    truth = pictures((sys.argv[1:] or ["rafdb:~/.cache/hybridface/data/rafdb"])[0])
    cost(truth)
    discrimination(truth)


if __name__ == "__main__":
    main()
