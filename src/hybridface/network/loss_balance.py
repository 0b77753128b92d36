"""How the losses of several tasks become the one that is minimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hybridface.tasks.base import SelfSupervisedConfig, Task

BalanceMode = Literal["fixed", "uncertainty", "geometric"]
SMALLEST_LOSS = 1e-8


class LossBalance(nn.Module):
    """Joins the losses of the tasks, each with its weight.

    ``fixed`` is the weighted sum. ``uncertainty`` learns a log-variance s of each task and
    minimises the weighted sum of exp(-s) L + s / 2 (Kendall et al. 2018, arXiv:1705.07115);
    tasks whose weight is 0 learn none, and a loss that may be below 0 is taken as it is: there the
    minimum over s would lie at minus infinity, and the head learns how wide its answers are by
    itself. ``geometric`` is the weighted geometric mean (Chennupati et al. 2019,
    arXiv:1904.08492), of losses from 0 on. A task whose loss is 0 in a batch, such as one without
    a label there, is left out of both.

    Args:
        tasks: The tasks.
        mode: Which of the three.
    """

    def __init__(self, tasks: Sequence[Task], mode: BalanceMode = "fixed") -> None:
        super().__init__()
        self.configs = {task.name: task.config for task in tasks}
        self.mode = mode
        learned = [task.name for task in tasks if mode == "uncertainty" and not task.below_zero]
        self.log_variances = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in learned}
        )

    def weight(self, name: str, progress: float) -> float:
        """Return a task's weight when a part ``progress`` of all steps is done."""
        config = self.configs[name]
        first: float = config.weight
        if config.final_weight is None:
            return first
        last: float = config.final_weight
        done = progress / self.until(name)
        return first + (last - first) * done

    def until(self, name: str) -> float:
        """Return the part of the run in which a task is trained."""
        config = self.configs[name]
        return config.until if isinstance(config, SelfSupervisedConfig) else 1.0

    def times(self, name: str) -> int:
        """Return how many times a loss counts for the batches in which the task has none."""
        config = self.configs[name]
        return config.every if isinstance(config, SelfSupervisedConfig) else 1

    def factor(self, name: str, progress: float) -> float:
        """Return by how much a task's loss counts in a batch in which it takes part."""
        return self.weight(name, progress) * self.times(name)

    def forward(self, losses: Mapping[str, Tensor], progress: float = 0.0) -> Tensor:
        """Return the joint loss, a scalar.

        Args:
            losses: The loss of each task that takes part in the batch, by name, in any order.
            progress: The part of all steps that is done, from 0 to 1.
        """
        weights = {name: self.factor(name, progress) for name in losses}
        if self.mode == "geometric":
            values = torch.stack(list(losses.values()))
            counted = [weights[name] * (loss > SMALLEST_LOSS) for name, loss in losses.items()]
            shares = torch.stack(counted)
            logs = values.clamp(min=SMALLEST_LOSS).log()
            return ((logs * shares).sum() / shares.sum().clamp(min=SMALLEST_LOSS)).exp()
        return torch.stack([weights[n] * self._certain(n, x) for n, x in losses.items()]).sum()

    def _certain(self, name: str, loss: Tensor) -> Tensor:
        """Return a loss as it enters the sum, by its log-variance where it has one."""
        if name not in self.log_variances:
            return loss
        variance: Tensor = self.log_variances[name]
        return (-variance).exp() * loss + variance / 2 * (loss > 0)
