"""One way to train, timed in a process of its own; ``training.py`` starts these in turns.

``python benchmarks/training_variants.py VARIANT OPTIONS-AS-JSON`` prints one JSON object. Variants:
``loop`` and ``loop, channels last`` (what one would write otherwise), ``limit`` and ``limit, timm``
(forward and backward on data in memory, with this package's convolutions and with timm's), and the
arms of ``ARMS`` (``hybridface.train`` itself).
"""

import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Times = list[float]
CLASSES = 7
ARMS: dict[str, dict[str, Any]] = {
    "supervised": {},
    "puzzle, shared": {"puzzle": {"weight": 0.1, "view": "shared", "supervise": "corrupted"}},
    "puzzle, own": {"puzzle": {"weight": 0.1, "view": "own"}},
    "inpaint, shared": {"inpaint": {"weight": 1.0, "view": "shared", "supervise": "corrupted"}},
    "inpaint, own": {"inpaint": {"weight": 1.0, "view": "own"}},
    "inpaint of stride 4, shared": {
        "inpaint": {"weight": 1.0, "view": "shared", "supervise": "corrupted", "output_stride": 4}
    },
    "inpaint of stride 4, own": {"inpaint": {"weight": 1.0, "view": "own", "output_stride": 4}},
}


def memory() -> dict[str, float]:
    """Return this process's private and mapped memory in MiB."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    size = {name: int(kib) / 1024 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", text)}
    private = size["Private_Dirty"]
    return {"private_mib": round(private), "mapped_mib": round(size["Rss"] - private)}


def loop(options: dict[str, Any], *, channels_last: bool) -> Times:
    """Train as one would without this package; return the seconds of each epoch."""
    import timm
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    side = options["size"]
    transform = v2.Compose(
        [
            v2.Resize((side, side)),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(25, translate=(0.1, 0.1), scale=(0.9, 1.33)),
            v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.4)], 0.5),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], 0.3),
            v2.RandomApply([v2.Resize(side // 2), v2.Resize(side)], 0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomApply([v2.GaussianNoise(sigma=0.03)], 0.5),
            v2.RandomErasing(1.0, scale=(0.02, 0.09), ratio=(1, 1)),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    loader = DataLoader(
        ImageFolder(Path(options["folder"]) / "train", transform),
        options["batch"],
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
        pin_memory=options["device"] == "cuda",
    )
    device = torch.device(options["device"])
    network = timm.create_model("efficientnet_b0", num_classes=CLASSES).to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(images: Tensor, labels: Tensor) -> None:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        if channels_last:
            images = images.to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with autocast(options):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    return [timed(step, loader, device) for _ in range(options["epochs"])]


def limit(options: dict[str, Any], *, ours: bool) -> Times:
    """Forward and backward alone, on one batch in memory; return the seconds of each epoch."""
    import timm

    from hybridface.network.cpu_convolutions import train_faster_on_cpu

    device = torch.device(options["device"])
    network = timm.create_model("efficientnet_b0", num_classes=CLASSES)
    if ours:
        network = train_faster_on_cpu(network)
    network = network.to(device, memory_format=torch.channels_last).train()
    batch, side = options["batch"], options["size"]
    images = torch.rand(batch, 3, side, side).to(device, memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,)).to(device)

    def step(images: Tensor, labels: Tensor) -> None:
        network.zero_grad(set_to_none=True)
        with autocast(options):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()

    batches = [(images, labels)] * (options["pictures"] // batch)
    return [timed(step, batches, device) for _ in range(options["epochs"])]


def arm(options: dict[str, Any], tasks: dict[str, Any]) -> Times:
    """Train by ``hybridface.train``; return the seconds of each epoch's steps."""
    from hybridface.config import build_recipe
    from hybridface.training import train as training
    from hybridface.training.module import HybridModule

    started: Times = []
    ended: Times = []

    def note(module: type, hook: str, times: Times) -> None:
        inner = getattr(module, hook, None)

        def noted(self: Any, *arguments: Any) -> Any:
            value = None if inner is None else inner(self, *arguments)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter())
            return value

        setattr(module, hook, noted)

    note(HybridModule, "on_train_epoch_start", started)
    note(HybridModule, "on_train_epoch_end", ended)
    with tempfile.TemporaryDirectory() as folder:
        recipe = build_recipe(
            {
                "run": f"{folder}/run",
                "data": {"source": f"folder:{options['folder']}", "size": options["size"]},
                "tasks": {"expression": {}, **tasks},
                "training": {
                    "epochs": options["epochs"],
                    "batch_size": options["batch"],
                    "validate_every": options["epochs"],
                    "device": options["device"],
                    "precision": options["precision"],
                    "test": False,
                },
            }
        )
        training.train(recipe)
    return [end - start for start, end in zip(started, ended, strict=True)]


def autocast(options: dict[str, Any]) -> Any:
    """Return the context of the recipe's precision."""
    mixed = options["precision"] == "bf16-mixed"
    return torch.autocast(options["device"], torch.bfloat16, enabled=mixed)


def timed(
    step: Callable[[Tensor, Tensor], None], batches: Iterable[Any], device: torch.device
) -> float:
    """Return the seconds of a pass over all batches."""
    start = time.perf_counter()
    for images, labels in batches:
        step(images, labels)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def share_of_peak(options: dict[str, Any], rate: float) -> float:
    """Return which part of the device's matrix multiplications a rate of training makes use of."""
    import timm
    from torch.utils.flop_counter import FlopCounterMode

    device = torch.device(options["device"])
    network = timm.create_model("efficientnet_b0", num_classes=CLASSES).to(device)
    side = options["size"]
    with FlopCounterMode(display=False) as counter:  # its count of a grouped backward is wrong
        network(torch.rand(2, 3, side, side, device=device))
    operations = 3 * counter.get_total_flops() / 2  # a picture, forward and backward
    kind = torch.bfloat16 if options["precision"] == "bf16-mixed" else torch.float32
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.rand(size, size, device=device, dtype=kind)

    def multiply(a: Tensor, b: Tensor) -> None:
        a @ b

    seconds = [timed(multiply, [(matrix, matrix)] * 4, device) / 4 for _ in range(4)]
    return rate * operations / (2 * size**3 / min(seconds))


def main() -> None:
    name, options = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    if name.startswith("loop"):
        seconds = loop(options, channels_last=name.endswith("last"))
    elif name.startswith("limit"):
        seconds = limit(options, ours=not name.endswith("timm"))
    else:
        seconds = arm(options, ARMS[name])
    pictures = options["pictures"] // options["batch"] * options["batch"]
    rate = pictures / statistics.median(seconds[1:] or seconds)
    figures: dict[str, Any] = {"images_per_second": round(rate, 1), **memory()}
    if name.startswith("limit"):
        figures["share_of_peak"] = round(share_of_peak(options, rate), 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
