"""Pictures a second of forward and backward alone, by the size of a batch; one thread.

``python benchmarks/batch_sizes.py`` prints a JSON line for each side of the pictures: medians over
batches that take turns, in seconds of the processor. First as glibc gives memory out, then with
freed memory kept, as training on a CPU has it; ``peak_mib`` is the most memory resident until then.
"""

import json
import resource
import statistics
import time

import timm
import torch
from torch.nn import functional as F

from hybridface.network.cpu_convolutions import train_faster_on_cpu
from hybridface.training.allocator import keep_freed_memory

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


def measure(network: torch.nn.Module, memory: str) -> None:
    """Print the rates of each size of picture, from the smallest."""
    for side, pictures in PICTURES.items():
        for batch in BATCHES:
            step(network, batch, side)
        turns = [batch for batch in BATCHES for _ in range(pictures // batch)]
        seconds = [(batch, step(network, batch, side)) for batch in turns * 2]
        rates = {
            batch: round(1 / statistics.median([took for of, took in seconds if of == batch]), 1)
            for batch in BATCHES
        }
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        row = {"side": side, "pictures_a_second": rates, "memory": memory, "peak_mib": peak}
        print(json.dumps(row), flush=True)


def main() -> None:
    torch.set_num_threads(1)
    network = train_faster_on_cpu(timm.create_model("efficientnet_b0", num_classes=7))
    network = network.to(memory_format=torch.channels_last).train()
    measure(network, "as it comes")
    if not keep_freed_memory():
        raise SystemExit("no glibc, or the environment says how memory is to be given out")
    measure(network, "kept")


if __name__ == "__main__":
    main()
