"""Compare a training step with and without the convolutions of ``cpu_convolutions``.

``python benchmarks/convolutions.py [BACKBONE] [SIZE] [BATCH]`` prints one JSON line: images a
second of forward and backward on data in memory, one thread, torch's own convolutions and ours in
turns, and their ratio. Times are those of the processor, so that other work on the machine matters
less.
"""

import copy
import json
import statistics
import sys
import time

import timm
import torch
from torch import nn

from hybridface.network.cpu_convolutions import train_faster_on_cpu

ROUNDS, STEPS = 7, 3


def seconds_a_step(network: nn.Module, images: torch.Tensor) -> float:
    start = time.process_time()
    for _ in range(STEPS):
        network(images).square().mean().backward()
        network.zero_grad(set_to_none=True)
    return (time.process_time() - start) / STEPS


def main() -> None:
    name, size, batch = (*sys.argv[1:], *("efficientnet_b0", "48", "32")[len(sys.argv) - 1 :])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=0).to(memory_format=torch.channels_last).train()
    ours = train_faster_on_cpu(copy.deepcopy(plain))
    images = torch.rand(int(batch), 3, int(size), int(size))
    images = images.to(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {"torch": [], "ours": []}
    for turn in range(ROUNDS + 1):
        for key, network in (("torch", plain), ("ours", ours)):
            measured = seconds_a_step(network, images)
            if turn:
                seconds[key].append(measured)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    rates = {key: round(int(batch) / value, 1) for key, value in medians.items()}
    print(
        json.dumps(
            {
                "backbone": name,
                "size": int(size),
                "batch": int(batch),
                "images_per_second": rates,
                "ratio": round(medians["torch"] / medians["ours"], 3),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
