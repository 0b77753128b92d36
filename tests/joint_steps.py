"""Steps of several processes, and the same step of one, for ``training/test_processes.py``."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from hybridface.augment import augment
from hybridface.config import BackboneConfig, Recipe, TrainingConfig
from hybridface.data.batches import Batch
from hybridface.data.source import MISSING
from hybridface.draws import SharedGenerator
from hybridface.errors import UsageError
from hybridface.network.model import HybridModel, HybridStep
from hybridface.network.shared_batch_norm import shared_statistics
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Features, FeatureShape, Task, TaskConfig, View
from tiny_runs import BACKBONE, CLASSES, SIZE, labelled_batch, tiny_model

COUNT = 8
PROCESSES = 2
SEED = 7


class Plain(Task):
    """A supervised task as a user would write it: no word of several processes."""

    supervised = True
    Config = TaskConfig

    @property
    def label(self) -> str:
        return "expression"

    def build_head(self, shape: FeatureShape) -> nn.Module:
        class Head(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(shape.pooled, len(CLASSES))
                self.unused = nn.Linear(2, 2)

            def forward(self, features: Features) -> Tensor:
                return self.linear(features.pooled)

        return Head()

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        return View(None, batch.labels["expression"])

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        known = target != MISSING
        if not known.any():
            return output.sum() * 0
        return F.cross_entropy(output[known], target[known])


@dataclass(frozen=True)
class Case:
    """A step that is taken by one process and by two."""

    tasks: dict[str, Any] = field(default_factory=lambda: {"expression": {"dropout": 0.0}})
    step: dict[str, Any] = field(default_factory=dict)
    unlabelled: int = 0
    labels: tuple[int, ...] = (0, 1, 2, 0, MISSING, MISSING, 1, MISSING)
    votes: bool = False
    numbers: bool = False


HYBRID = {
    "expression": {"dropout": 0.0, "class_weights": "balanced"},
    "puzzle": {"grid": 2},
    "inpaint": {"decoder_channels": 8},
}
CHEAPER = HYBRID | {
    "puzzle": {"grid": 2, "part": 0.5, "view_size": 16},
    "inpaint": {"decoder_channels": 8, "part": 0.5, "every": 2, "until": 0.8, "final_weight": 0.2},
}
NUMBERS: dict[str, Any] = {"pose": {}, "age": {"weight": 0.5}, "puzzle": {"grid": 2}}
CASES = {
    "hybrid": Case(HYBRID),
    "joined": Case(HYBRID, {"batch_norm": "joined"}),
    "both": Case(HYBRID | {"puzzle": {"grid": 2, "supervise": "both"}}),
    "shared": Case({"expression": {"dropout": 0.0}, "rotation": {"view": "shared"}, "drloc": {}}),
    "uncertainty": Case(HYBRID, {"loss_balance": "uncertainty"}),
    "geometric": Case(HYBRID, {"loss_balance": "geometric"}),
    "two copies": Case(HYBRID, {"copies": 2}),
    "mixed copies": Case(HYBRID, {"copies": 2, "mixup": 0.5}),
    "unlabelled": Case(HYBRID, {"mixup": 0.5}, unlabelled=4),
    "mixed beside unlabelled": Case(
        {"expression": {"dropout": 0.0}, "drloc": {}}, {"mixup": 0.5}, unlabelled=4
    ),
    "cheaper": Case(CHEAPER),
    "cheaper copies": Case(CHEAPER, {"copies": 2}),
    "cheaper unlabelled": Case(CHEAPER, unlabelled=8),
    "votes": Case({"expression": {"dropout": 0.0, "label_smoothing": 0.1}}, votes=True),
    "numbers": Case(NUMBERS, {"mixup": 0.5}, unlabelled=4, numbers=True),
    "plain": Case({"plain": {}}),
    "one side": Case(HYBRID, labels=(0, 1, 2, 0, *[MISSING] * 4)),
    "no labels": Case(HYBRID, labels=(MISSING,) * 8),
}
Parts = dict[str, Tensor]


def whole_batch(case: Case) -> Batch:
    batch = labelled_batch(COUNT + case.unlabelled)
    labels = torch.tensor([*case.labels, *[MISSING] * case.unlabelled])
    soft = {}
    if case.votes:
        votes = torch.rand(COUNT, len(CLASSES), generator=Generator().manual_seed(1)).double()
        votes[2], votes[6] = 0, 0
        soft = {"expression": votes}
    numbers = {}
    if case.numbers:
        drawn = 30 * torch.randn(len(labels), 3, generator=Generator().manual_seed(2)).double()
        drawn[[1, *range(COUNT, len(labels))]] = math.nan  # the others have no labels
        drawn[4:6, 2], drawn[6, 1:] = math.nan, math.nan
        numbers = {"pose": drawn, "age": drawn[:, 1:2]}
    labelled = COUNT if case.unlabelled else None
    return Batch(batch.images, {"expression": labels}, soft, labelled, numbers)


def part_of(batch: Batch, rank: int) -> Batch:
    """Return what one process gets of a batch: a slice of each of its blocks."""
    labelled = len(batch.images) if batch.labelled is None else batch.labelled
    others = len(batch.images) - labelled
    own, more = labelled // PROCESSES, others // PROCESSES
    rows = torch.cat(
        [
            torch.arange(rank * own, (rank + 1) * own),
            labelled + torch.arange(rank * more, (rank + 1) * more),
        ]
    )
    return replace(batch.rows(rows), labelled=own if others else None)


def take_step(case: Case, rank: int | None) -> Parts:
    """Take one step in double precision: with the whole batch, or as one of the processes.

    Returns:
        Gradients, buffers afterwards, and losses, by name.
    """
    plain = "plain" in case.tasks
    model, tasks = _plain_model() if plain else tiny_model(case.tasks)
    batch = whole_batch(case)
    copies = case.step.get("copies", 1)
    generator: Generator = Generator().manual_seed(SEED)
    if rank is not None:
        batch = part_of(batch, rank)
        labelled = len(batch.images) if batch.labelled is None else batch.labelled
        blocks = [labelled] * copies + ([len(batch.images) - labelled] if case.unlabelled else [])
        generator = SharedGenerator(
            torch.device("cpu"),
            blocks, rank=rank, processes=PROCESSES, own_seed=rank, seed=SEED,
        )  # fmt: skip
    processes = 1 if rank is None else PROCESSES
    step = HybridStep(model.double(), tasks, processes=processes, **case.step).train()
    batch = batch.repeat(copies)
    images = augment(batch.images, "strong", generator).double()
    loss, figures = step(images, batch, generator, 0.5)
    loss.backward()
    parts = {f"gradient of {n}": p.grad for n, p in step.named_parameters() if p.grad is not None}
    if rank is not None:  # as DDP does
        for value in parts.values():
            dist.all_reduce(value)
            value.div_(PROCESSES)
    parts |= {f"buffer {name}": value for name, value in step.named_buffers()}
    return parts | {name: v for name, v in figures.items() if name.endswith("loss")}


def _plain_model() -> tuple[HybridModel, list[Task]]:
    tasks: list[Task] = [Plain("plain", TaskConfig()), *build_tasks({"puzzle": {"grid": 2}})]
    torch.manual_seed(0)
    return HybridModel(BackboneConfig(name=BACKBONE), tasks, SIZE), tasks


def normalise(norm: nn.Module, values: Tensor, weights: Tensor) -> Parts:
    """Pass forwards and backwards through a batch norm; the loss is a weighted sum."""
    values = values.clone().requires_grad_()
    output = norm(values)
    (output * weights).sum().backward()
    parts = {"output": output.detach(), "gradient": values.grad, "weight": norm.weight.grad}
    parts |= {f"buffer {name}": value for name, value in norm.named_buffers()}
    return {name: value for name, value in parts.items() if value is not None}


def normalised_values() -> tuple[Tensor, Tensor]:
    """Return ``(7, 3, 4, 4)`` values far from 0, and weights of them."""
    random = Generator().manual_seed(3)
    values = torch.randn(7, 3, 4, 4, generator=random, dtype=torch.float64)
    return values * 2 + 100, torch.randn(values.shape, generator=random, dtype=torch.float64)


def be_a_process(rank: int, folder: Path, recipes: Sequence[Recipe], ports: Sequence[int]) -> None:
    """Take every step with another process, then train with it as if torchrun had started both."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=PROCESSES)
    for name, case in CASES.items():
        torch.save(take_step(case, rank), folder / f"{name} {rank}.pt")
    values, weights = normalised_values()
    own = slice(0, 2) if rank == 0 else slice(2, 7)  # as uneven as it can be
    norm = nn.BatchNorm2d(3).double()
    with shared_statistics(norm):
        torch.save(normalise(norm, values[own], weights[own]), folder / f"norm {rank}.pt")
    assert type(norm) is nn.BatchNorm2d
    dist.destroy_process_group()
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "localhost",
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES),
        "LOCAL_WORLD_SIZE": str(PROCESSES),
    }  # fmt: skip
    os.environ["MASTER_PORT"] = str(ports[0])
    wait_for_the_first(rank, folder)
    for recipe, port in zip(recipes, ports[1:], strict=True):
        os.environ["MASTER_PORT"] = str(port)
        _train(rank, recipe)


def wait_for_the_first(rank: int, folder: Path) -> None:
    """Let the first do something that takes longer than any step may wait for another."""
    from hybridface.training import processes

    def slowly() -> int:
        time.sleep(3)
        return 42

    patience = processes.LONGEST_STEP["gloo"]
    processes.LONGEST_STEP["gloo"] = timedelta(seconds=1)
    with processes.joined(TrainingConfig(devices=PROCESSES, device="cpu")) as joined:
        torch.save(joined.first_does(slowly), folder / f"waited {rank}.pt")
    processes.LONGEST_STEP["gloo"] = patience


def _train(rank: int, recipe: Recipe) -> None:
    """Train, and keep this process's state at the end and what it is refused."""
    from hybridface.training import module, train

    folder, name = recipe.run.parent, recipe.run.name

    def keep(self: module.HybridModule) -> None:
        torch.save(self.state_dict(), folder / f"state of {name} {rank}.pt")
        torch.save(self.validation, folder / f"validation of {name} {rank}.pt")

    module.HybridModule.on_train_end = keep  # type: ignore[method-assign]
    try:
        run = train.train(recipe)
    except UsageError as error:
        (folder / f"refused {rank}.txt").write_text(str(error))
    else:
        assert bool(run.result) == (rank == 0)
