"""Pictures a second of forward and backward alone, by the size of a batch; one thread.

``python benchmarks/batch_sizes.py`` prints a JSON line for each side of the pictures: medians over
batches that take turns, in seconds of the processor. What the allocator of glibc costs large
batches shows beside ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592`` before the command.
"""

import json
import os
import statistics
import time

import timm
import torch
from torch.nn import functional as F

from hybridface.network.cpu_convolutions import train_faster_on_cpu

BATCHES = (32, 64, 128)
PICTURES = {48: 1024, 112: 256}


def step(network: torch.nn.Module, batch: int, side: int) -> float:
    """Return the seconds of the processor that a picture of a batch takes."""
    images = torch.rand(batch, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(7, (batch,))
    network.zero_grad(set_to_none=True)
    start = time.process_time()
    F.cross_entropy(network(images), labels).backward()
    return (time.process_time() - start) / batch


def main() -> None:
    torch.set_num_threads(1)
    network = train_faster_on_cpu(timm.create_model("efficientnet_b0", num_classes=7))
    network = network.to(memory_format=torch.channels_last).train()
    told = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    for side, pictures in PICTURES.items():
        for batch in BATCHES:
            step(network, batch, side)
        turns = [batch for batch in BATCHES for _ in range(pictures // batch)]
        seconds = [(batch, step(network, batch, side)) for batch in turns * 2]
        rates = {
            batch: round(1 / statistics.median([took for of, took in seconds if of == batch]), 1)
            for batch in BATCHES
        }
        print(json.dumps({"side": side, "pictures_a_second": rates, "environment": told}))


if __name__ == "__main__":
    main()
