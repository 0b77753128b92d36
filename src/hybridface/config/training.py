"""Recipes, how the weights are found: ``augment``, ``training`` and ``pretrain``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hybridface.config.section import Section

AugmentLevel = Literal["none", "weak", "strong"]
BatchNormMode = Literal["joined", "split", "reestimated"]


class AugmentConfig(Section):
    """How pictures vary in training.

    Attributes:
        level: ``none``, ``weak`` or ``strong``.
        views: How many augmented versions of each picture a step holds.
        mixup: Strength of mixup on what the supervised heads see, the parameter of its Beta
            distribution; 0 for none (Zhang et al. 2018, arXiv:1710.09412).
    """

    level: AugmentLevel = "strong"
    views: int = Field(1, ge=1, le=8)
    mixup: float = Field(0.0, ge=0, le=10)


class TrainingConfig(Section):
    """How the weights are found.

    Attributes:
        epochs: Passes over the labelled training rows.
        batch_size: Pictures a batch, over all processes, before views are added.
        accumulate: Batches whose gradients, averaged, make one step of the optimizer, so that a
            step needs the memory of one; batch norm sees one at a time. The last step of an epoch
            may have fewer; their gradients count as much as in any other.
        learning_rate: Peak of the schedule.
        warmup: Part of all steps in which the learning rate rises from zero.
        final_learning_rate: Where the cosine ends, as a part of the peak.
        weight_decay: Of AdamW; norms and biases are left out.
        clip: Largest norm of the gradient; null for none.
        ema: Decay of the moving average of weights and buffers that is evaluated and kept; null
            for none. In the first steps the decay is lower, so that a short run averages too.
        batch_norm: What batch norm's statistics are taken over, where a step holds several views:
            each view by itself (``split``; inference uses those of the intact view); all views
            ``joined``; or joined and, before each evaluation, ``reestimated`` on intact training
            pictures.
        precision: ``32-true``, ``bf16-mixed`` or, on a GPU, ``16-mixed``.
        compile: Compile the backbone with ``torch.compile``: a minute or two at the start, then
            faster steps.
        loss_balance: How the tasks' losses become one: their ``fixed`` weighted sum; the weights
            learned by ``uncertainty``, but for ``age``, which learns its own; or the weighted
            ``geometric`` mean, which ``age`` cannot be part of, as its loss may be below 0.
        aggregator: Join the gradients of the tasks' weighted losses on the backbone by an
            aggregator of TorchJD (extra ``torchjd``), such as ``AlignedMTL``, in place of their
            sum; one that keeps a state from step to step is refused.
            A step goes back through the backbone once for each task.
        sampling: ``natural``: every labelled row once an epoch. ``balanced``: every class of the
            first supervised task equally often, in an epoch of the same length.
        validate_every: Epochs between two looks at the validation split.
        select: Validation metric of the first supervised task that chooses the best checkpoint: of
            classes ``accuracy``, ``mean_class_accuracy`` or the loss, ``nll``; of an age the mean
            absolute error, ``mae``, or ``nll``; of poses ``mae`` or the angle between them,
            ``geodesic``; a task of the user's own names its own. Where a task has no accuracy, the
            default is the first that it has.
        measure_training_rows: Whether to look at the intact training rows too, in evaluation mode,
            each time the validation split is looked at: how far over-fitting goes.
        test: Whether to read the test split, once, at the end; off where settings are tried out.
        loggers: Loggers beside TensorBoard's, with the options of each: ``mlflow`` (extra
            ``mlflow``), ``wandb``, or a subclass of Lightning's ``Logger``, as
            ``pkg.module:Class``.
        checkpoint_minutes: Least time between two resumable checkpoints.
        threads: CPU threads of the process; PyTorch's own choice where null. Several trainings on
            one machine are fastest with one thread each.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: Processes on a machine, each with a GPU of its own where it trains on them. They
            share every batch, and train the model that one process would, up to float error; but
            for dropout and stochastic depth, which each draws for itself.
        nodes: Machines, each with as many processes; with more than one the command has to be
            started on each, by ``torchrun`` or SLURM's ``srun``.
    """

    epochs: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=2)
    accumulate: int = Field(1, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    final_learning_rate: float = Field(0.01, ge=0, le=1)
    weight_decay: float = Field(0.05, ge=0)
    clip: float | None = Field(5.0, gt=0)
    ema: float | None = Field(0.99, gt=0, lt=1)
    batch_norm: BatchNormMode = "split"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    loss_balance: Literal["fixed", "uncertainty", "geometric"] = "fixed"
    aggregator: str | None = None
    sampling: Literal["natural", "balanced"] = "natural"
    validate_every: int = Field(1, ge=1)
    select: str = "accuracy"
    measure_training_rows: bool = False
    test: bool = True
    loggers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    checkpoint_minutes: float = Field(1.0, ge=0)
    threads: int | None = Field(None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)

    @property
    def processes(self) -> int:
        """Return how many processes train the model together."""
        return self.devices * self.nodes


class PretrainConfig(Section):
    """A first stage, in which the backbone learns from the training pictures without their labels.

    The tasks of the recipe start from its backbone, the average of its weights where there is
    one. All else is as the recipe says; the pictures are those of the training split alone.

    Attributes:
        epochs: Its passes over the training rows.
        tasks: Its self-supervised tasks, as in ``tasks``; those of the recipe where none is named.
        learning_rate: Peak of its schedule; that of ``training`` where null.
    """

    epochs: int = Field(60, ge=1)
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    learning_rate: float | None = Field(None, gt=0)
