"""A training step neither waits for its device nor sends it anything, on devices that are not here.

The model and a batch lie on a CUDA device that PyTorch only imagines (fake tensors), and every
operation is looked at: what a real device would have to be sent, or asked for, names both.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Generator, Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hybridface.config.content import merge
from hybridface.data.batches import Batch
from hybridface.training.callbacks import LossWatch
from hybridface.training.module import HybridModule
from tiny_runs import batch_for, tiny_model, tiny_recipe

DEVICE = torch.device("cuda", 0)
ASKING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default")
STEPS: dict[str, dict[str, Any]] = {
    "hybrid": {"tasks": {"puzzle": {}, "inpaint": {"decoder_channels": 8}}},
    "perceptual": {"tasks": {"inpaint": {"decoder_channels": 8, "perceptual_weight": 1.0}}},
    "turned and placed": {"tasks": {"rotation": {}, "drloc": {}}},
    "shared": {"tasks": {"puzzle": {"view": "shared"}}},
    "corrupted too": {"tasks": {"puzzle": {"supervise": "both"}}},
    "smaller": {"tasks": {"puzzle": {"part": 0.5, "view_size": 16}}},
    "two versions": {"tasks": {"puzzle": {"part": 0.5}}, "augment": {"views": 2}},
    "mixed": {"tasks": {"puzzle": {}}, "augment": {"mixup": 0.4}},
    "weighed": {"tasks": {"expression": {"class_weights": "balanced", "label_smoothing": 0.1}}},
    "balanced": {"tasks": {"puzzle": {}}, "training": {"loss_balance": "uncertainty"}},
    "means": {"tasks": {"puzzle": {}}, "training": {"loss_balance": "geometric"}},
    "pose": {"tasks": {"expression": None, "pose": {}, "puzzle": {}}},
    "age": {"tasks": {"expression": None, "age": {}, "puzzle": {}}},
}


class Imagined(Generator):
    """A generator that says it is on the device; fake tensors are drawn from none."""

    @property
    def device(self) -> torch.device:
        """Return the device that is not here."""
        return DEVICE


class Transfers(TorchDispatchMode):
    """Notes every operation that a real device would be sent something for, or asked by."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at an operation and let it go on."""
        name, given = str(func), _tensors((args, kwargs))
        asking = any(of in name for of in ASKING) or (
            "index" in name and any(each.dtype == torch.bool for each in given)
        )
        if asking and any(each.device == DEVICE for each in given):
            self._note(name)
        out = func(*args, **(kwargs or {}))
        here = [each for each in given if each.device != DEVICE]
        made = {each.device for each in _tensors(out)}
        if here and DEVICE in made and ("_to_copy" in name or any(each.dim() for each in here)):
            self._note(name)
        if made - {DEVICE} and len(here) < len(given):
            self._note(name)
        return out

    def _note(self, name: str) -> None:
        stack = traceback.extract_stack()
        ours = [each for each in stack if "/hybridface/" in each.filename]
        self.found.append(f"{name}: {(ours or stack)[-1]}")


def _tensors(of: object) -> list[Tensor]:
    return [each for each in tree_leaves(of) if isinstance(each, Tensor)]


def imagine(module: nn.Module) -> None:
    """Put a module's weights and buffers on the device."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(weight.to(DEVICE), weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(DEVICE)


def imagined(batch: Batch) -> Batch:
    """Return a batch on the device."""
    there: dict[str, Any] = {
        part: {name: value.to(DEVICE) for name, value in getattr(batch, part).items()}
        for part in ("labels", "soft", "numeric")
    }
    return replace(batch, images=batch.images.to(DEVICE), **there)


@pytest.fixture
def second_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let modules believe that they are in the second step of a training on the device."""
    for name, value in (
        ("global_step", 1), ("current_epoch", 0), ("global_rank", 0), ("device", DEVICE)
    ):  # fmt: skip
        monkeypatch.setattr(HybridModule, name, value)
    monkeypatch.setattr(HybridModule, "_generator", lambda *_: Imagined())
    monkeypatch.setattr("torch.manual_seed", lambda _: None)


@pytest.mark.usefixtures("second_step")
@pytest.mark.parametrize("case", STEPS)
def test_a_step_sends_and_asks_nothing(case: str, tmp_path: Path) -> None:
    fewer = {"tasks": {"puzzle": None, "inpaint": None}}
    recipe = tiny_recipe(tmp_path / "run", **merge(fewer, STEPS[case]))
    model, tasks = tiny_model(recipe.tasks)
    module = HybridModule(recipe, model, tasks, 10, lambda: cast(Any, ()))
    given = batch_for(next(task for task in tasks if task.supervised), 8)
    watch, trainer = LossWatch(cast(Any, None)), cast(Any, SimpleNamespace(global_step=1))
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = imagined(given)
        imagine(module)
        for task in tasks:
            if network := vars(task).get("perceptual_distance"):
                imagine(network)

        def step() -> None:
            module.training_step(batch, 1)
            module.on_train_batch_end(None, batch, 1)
            watch.on_train_batch_end(trainer, module, None, batch, 1)

        step()  # what is sent once, and stays there, is sent here
        with Transfers() as transfers:
            step()
    assert transfers.found == []


@pytest.mark.parametrize(
    "transfer",
    [
        lambda there: there.new_tensor([1.0, 2.0, 3.0]),
        lambda there: there[torch.arange(2)],
        lambda there: there + torch.ones(3).to(DEVICE),
        lambda there: there.to("cpu"),
        lambda there: there.sum().item(),
        lambda there: there[there > 0],
    ],
)
def test_transfers_are_seen(transfer: Callable[[Tensor], object]) -> None:
    with (
        FakeTensorMode(),
        Transfers() as transfers,
        suppress(DynamicOutputShapeException, DataDependentOutputException),
    ):
        transfer(torch.ones(3, device=DEVICE))
    assert len(transfers.found) == 1
