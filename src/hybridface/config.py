"""Recipes: everything that decides a training run, in one YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hybridface.config_content import name_tasks, override, read_yaml, validate
from hybridface.files import CACHE_LIMIT_GIB

AugmentLevel = Literal["none", "weak", "strong"]
BatchNormMode = Literal["joined", "split", "reestimated"]
REST = "rest"


class Section(BaseModel):
    """A part of a recipe; keys that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class FoldConfig(Section):
    """Cross-validation inside the recipe: all rows of the source in equal folds, one the test.

    Attributes:
        count: How many folds.
        test: The fold that is the test split, from 0.
        seed: Decides which row is in which fold; the same for every run that is compared.
        official: Take the folds of the data set's own protocol, as Adience's, in place of drawn
            ones; ``count`` must be theirs.
    """

    count: int = Field(5, ge=2)
    test: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    official: bool = False


def _as_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else () if value is None else value


class SourceConfig(Section):
    """One of several data sets that a run learns from.

    Attributes:
        source: ``KIND:PATH``, as in ``data.source``.
        weight: How often an epoch shows each of its training rows: 2 is twice, 0.25 every fourth
            epoch.
        folds: As ``data.folds``, and so each key below; null for what ``data`` says.
        validation: Part of its training rows that becomes validation.
        test_part: Part of its validation rows that becomes the test split.
        fraction: Part of its training labels that is used.
        keep_together: What no cut parts.
    """

    source: str
    weight: float = Field(1.0, gt=0, le=1000)
    folds: FoldConfig | None = None
    validation: float | None = Field(None, gt=0, lt=1)
    test_part: float | None = Field(None, ge=0, lt=1)
    fraction: float | None = Field(None, gt=0, le=1)
    keep_together: Literal["near_duplicates"] | None = None


class DataConfig(Section):
    """Which pictures and labels.

    Attributes:
        source: ``KIND:PATH``, with options as ``KIND:PATH?key=value``; KIND may be a class of the
            user's own, ``pkg.module:Class``.
        sources: In place of ``source``, several data sets by names of the user's choice. Each
            picture teaches the supervised tasks that it has a label for, and all teach the
            self-supervised ones. A column of classes has the order of the first data set that
            has it; those of the others are matched by name.
        size: Side of the pictures the model sees, in pixels.
        folds: Cut the test split from all rows; without it the source's own splits are used.
        validation: Part of the training rows that becomes validation where the source has none.
        test_part: Part of the source's validation rows that becomes the test split, where the
            source has none; the same rows for every seed, and equal pictures on one side.
        fraction: Part of the training labels of each class that is used.
        seed: Decides validation and fraction; the run's own seed where null.
        keep_together: ``near_duplicates`` lets no cut that the recipe makes (``folds``,
            ``validation``) part pictures that are equal or nearly equal, as
            ``hybridface data check`` finds them; persons stay whole in any case.
        drop_duplicates: Drop training pictures that stand in validation or test, and validation
            pictures that stand in test.
        problems: ``skip`` rows that cannot be used and name them, or ``refuse`` the data set.
        unlabelled: Pictures that only the self-supervised tasks learn from: one ``KIND:PATH`` or
            several, such as ``folder:PATH?unlabelled=true``; ``rest`` for the training rows of
            ``source`` whose labels are missing or left out by ``fraction``. Labels that they have
            are not read, nor are their validation and test rows.
        unlabelled_per_labelled: How many of them a step holds for each labelled picture.
        cache_limit_gib: Largest cache of decoded pictures that a data set may have, in GiB; one
            that would be larger, or larger than what the disk has free, is decoded by worker
            processes in each epoch, with the same results. One that is there is used whatever its
            size; 0 uses none.
        workers: How many worker processes decode for each process that trains, where pictures
            are not cached; chosen from the cores where null, and 0 decodes in the process itself.
    """

    source: str = ""
    sources: dict[str, SourceConfig] = Field(default_factory=dict)
    size: int = Field(48, ge=16, le=1024)
    folds: FoldConfig | None = None
    validation: float = Field(0.1, gt=0, lt=1)
    test_part: float = Field(0.0, ge=0, lt=1)
    fraction: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    keep_together: Literal["near_duplicates"] | None = None
    drop_duplicates: bool = True
    problems: Literal["skip", "refuse"] = "skip"
    unlabelled: Annotated[tuple[str, ...], BeforeValidator(_as_several)] = ()
    unlabelled_per_labelled: float = Field(1.0, gt=0, le=64)
    cache_limit_gib: float = Field(CACHE_LIMIT_GIB, ge=0)
    workers: int | None = Field(None, ge=0, le=256)

    @model_validator(mode="after")
    def _one_source_or_several(self) -> Self:
        if self.source and self.sources:
            raise ValueError("source and sources are both given; leave one of them out")
        if not self.source and not self.sources:
            raise ValueError("source is missing: KIND:PATH, or several of them under sources")
        for name in self.sources:
            if not name or set(name) & set("/\\:=?+"):
                raise ValueError(f"sources: '{name}' is no name: none of / \\ : = ? + can be in it")
        return self

    @property
    def specs(self) -> dict[str, str]:
        """Return ``KIND:PATH`` of each data set by its name, which is empty where there is one."""
        return {name: each.source for name, each in self.sources.items()} or {"": self.source}

    def parts(self) -> dict[str, DataConfig]:
        """Return the section for each data set by itself, by its name."""
        if not self.sources:
            return {"": self}
        inherited = self.model_copy(update={"sources": {}, "unlabelled": ()})
        return {
            name: inherited.model_copy(
                update={
                    key: getattr(each, key)
                    for key in type(each).model_fields
                    if key != "weight" and getattr(each, key) is not None
                }
            )
            for name, each in self.sources.items()
        }


_BY_CHECKPOINT = "weights come by backbone.init or backbone.checkpoint"
NOT_OPTIONS = {
    "model_name": "it is backbone.name",
    "num_classes": "the heads are those of the tasks",
    "drop_path_rate": "it is backbone.drop_path",
    "img_size": "it is data.size",
    "in_chans": "pictures have three channels",
    "features_only": "the tasks need the whole network",
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        _BY_CHECKPOINT,
    ),
}


class BackboneConfig(Section):
    """The network that all tasks share.

    Attributes:
        name: Any timm model.
        init: ``random`` weights, or those of ``imagenet``: ``tf_efficientnet_lite0`` and
            ``tf_efficientnet_lite1`` from the packages of the extra ``imagenet``, all others timm's
            own (needs a network or a cache).
        zero_init_residual: Let every residual block of random weights start as the identity, by a
            zero scale in its last batch norm (Goyal et al. 2017, arXiv:1706.02677).
        drop_path: Stochastic depth rate.
        options: What else ``timm.create_model`` takes for it, as ``{patch_size: 8}``. Networks that
            are made for one size of pictures, such as vision transformers, get ``data.size``
            without being told.
        checkpoint: Weights that it starts from, in place of ``init``: a run folder, for its best
            weights, a safetensors file of a run, an exported model, or ``default``, the model that
            ships. Heads start anew. To go on with a run is another thing, ``--resume``.
    """

    name: str = "efficientnet_b0"
    init: Literal["random", "imagenet"] = "random"
    zero_init_residual: bool = True
    drop_path: float = Field(0.0, ge=0, lt=1)
    options: dict[str, Any] = {}
    checkpoint: Path | None = None

    @field_validator("options")
    @classmethod
    def _leave_what_is_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in NOT_OPTIONS:
                raise ValueError(f"'{name}' cannot be said here: {NOT_OPTIONS[name]}")
        return options


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


class Recipe(Section):
    """A training run.

    Attributes:
        run: The run folder.
        seed: Decides weights, order, augmentation, what the self-supervised tasks deal.
        tasks: Options of each task by its name; a task of another name says its ``type``. Without
            a supervised one the run gives weights to start from, and no model for use.
        pretrain: A first stage without labels; none where null.
    """

    run: Path = Path("runs/train")
    seed: int = Field(0, ge=0, lt=2**63)
    data: DataConfig
    backbone: BackboneConfig = BackboneConfig()
    augment: AugmentConfig = AugmentConfig()
    tasks: dict[str, dict[str, Any]] = Field(min_length=1)
    training: TrainingConfig = TrainingConfig()
    pretrain: PretrainConfig | None = None

    @property
    def unlabelled_a_step(self) -> int:
        """Return how many pictures without labels a batch holds, if it holds any."""
        return max(1, round(self.training.batch_size * self.data.unlabelled_per_labelled))

    def to_yaml(self) -> str:
        """Return the recipe with every default filled in."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def build_recipe(content: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Check a recipe's content and fill in its defaults.

    Raises:
        UsageError: Names the key, what is wrong with it, and for an unknown key the nearest one.
    """
    return validate(Recipe, name_tasks(content), where)


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and lay overrides over it; see :func:`override`.

    Raises:
        UsageError: See :func:`build_recipe`, :func:`read_yaml` and :func:`parse_override`.
    """
    return build_recipe(override(read_yaml(Path(path)), overrides), str(path))
