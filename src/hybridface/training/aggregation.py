"""The gradients of several tasks on one backbone, joined by an aggregator of TorchJD."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridface.errors import UsageError, unknown
from hybridface.network.model import HybridModel

EXTRA = 'pip install "hybridface[torchjd]"'
SUMS = ("ConFIG", "GradDrop", "PCGrad", "Sum")  # what they give is as long as a sum already


def find_aggregator(name: str) -> nn.Module:
    """Return an aggregator by its name in :mod:`torchjd.aggregation`, with its own defaults.

    Args:
        name: Such as ``AlignedMTL`` (Senushkin et al. 2023, arXiv:2305.19000). ``UPGrad`` (Quinton
            and Rey 2024, arXiv:2406.16232) needs a solver that the extra does not bring.

    Raises:
        UsageError: TorchJD or what the aggregator needs is missing, there is none of that name
            that needs no further choice, or it keeps a state from step to step.
    """
    try:
        from torchjd import Stateful, aggregation
    except ModuleNotFoundError as error:
        raise UsageError(f"training.aggregator needs TorchJD, which is missing: {EXTRA}") from error
    found = {
        each: kind
        for each, kind in vars(aggregation).items()
        if inspect.isclass(kind)
        and issubclass(kind, aggregation.Aggregator)
        and not inspect.isabstract(kind)
    }
    if name in found and issubclass(found[name], Stateful):
        raise UsageError(
            f"training.aggregator: {name} keeps a state from step to step, which no checkpoint "
            "holds: a run that is gone on with would be another one; take one without, such as "
            "AlignedMTL"
        )
    known: dict[str, Any] = {
        each: kind
        for each, kind in found.items()
        if _needs_nothing(kind) and not issubclass(kind, Stateful)
    }
    if name not in known:
        raise unknown("training.aggregator", name, known)
    try:
        aggregator: nn.Module = known[name]()
    except ImportError as error:
        raise UsageError(
            f"training.aggregator: {name} needs more than is there: {error}"
        ) from error
    return aggregator


def _needs_nothing(kind: type) -> bool:
    """Say whether a class can be made without arguments."""
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD,
             inspect.Parameter.KEYWORD_ONLY)  # fmt: skip
    parameters = inspect.signature(kind).parameters.values()
    return all(each.kind not in named or each.default is not each.empty for each in parameters)


class JoinedGradients:
    """Takes the gradient of each task by itself, and joins them on the backbone.

    A head gets the gradient of its own loss. The joint gradient is as long as a sum: what the
    aggregator gives, which for all but those of ``SUMS`` is about a mean, is multiplied by the
    number of losses.

    Args:
        model: The model.
        aggregator: From the ``(T, P)`` gradients of T losses on the backbone's P weights to the
            ``(P,)`` joint one; see :func:`find_aggregator`.
    """

    def __init__(self, model: HybridModel, aggregator: nn.Module) -> None:
        self.model = model
        self.aggregator = aggregator
        self._gives_a_sum = type(aggregator).__name__ in SUMS

    def backward(self, losses: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add to the gradients of all weights.

        Args:
            losses: The weighted loss of each task, a scalar. One that depends on no weight, as
                where no picture has the task's label, takes no part.
            scale: Factor of all gradients.
        """
        shared = [each for each in self.model.backbone.parameters() if each.requires_grad]
        counted = {name: loss for name, loss in losses.items() if loss.requires_grad}
        rows: list[Tensor] = []
        for number, (name, loss) in enumerate(counted.items(), start=1):
            own = [each for each in self.model.heads[name].parameters() if each.requires_grad]
            found = torch.autograd.grad(
                loss * scale, [*shared, *own], retain_graph=number < len(counted), allow_unused=True
            )
            for weight, gradient in zip(own, found[len(shared) :], strict=True):
                _add(weight, gradient)
            rows.append(_flat(shared, found[: len(shared)]))
        if not rows:
            return
        gradients = torch.stack(rows)
        gradients = gradients[gradients.abs().amax(1) != 0]  # what is no number must be seen
        if not len(gradients):
            return
        joint = self.aggregator(gradients)
        if not self._gives_a_sum:
            joint = joint * len(gradients)
        sizes = [weight.numel() for weight in shared]
        for weight, part in zip(shared, joint.split(sizes), strict=True):
            _add(weight, part.view_as(weight))


def _add(weight: nn.Parameter, gradient: Tensor | None) -> None:
    if gradient is not None:
        weight.grad = gradient.clone() if weight.grad is None else weight.grad + gradient


def _flat(weights: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """Return gradients as one vector ``(P,)``, zero where a weight has none."""
    parts = zip(weights, gradients, strict=True)
    return torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for w, g in parts])
