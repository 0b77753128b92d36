"""What a study file says, and the cells that follow from it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr

from hybridface.config import REST, Recipe, Section
from hybridface.config.content import read_yaml, validate
from hybridface.data.sources import split_spec
from hybridface.errors import UsageError, unknown
from hybridface.tasks import build_tasks, task_types
from hybridface.tasks.base import Task
from hybridface.training.pretraining import weights_file

Content = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]  # part of a file's name
NOT_IN_KEY: Any = {
    "run": True,
    "training": {"threads", "device", "checkpoint_minutes", "measure_training_rows", "loggers"},
    "data": {"cache_limit_gib", "workers"},
}
TUNING = "tuning/"
# Raised whenever a change of the code, or of a default, makes the same recipe train another model.
TRAINING_VERSION = 2
# Defaults that changed since then: what they were, so that finished cells keep their keys.
FORMER_DEFAULTS = {("training", "batch_norm"): "joined"}


class ArmConfig(Section):
    """One method that a study compares.

    Attributes:
        method: What its rows call it.
        change: Recipe keys in which it differs from the study's recipe.
        tuned: Tuning groups whose best settings it takes, laid over one another in order.
        stretch: Factor of the schedule's length, after tuning.
        arm: What its rows and the page call it; its key where null. Arms of one name are one
            method under several conditions, such as fractions or initialisations, which the page
            keeps apart.
    """

    method: str
    change: Content = Field(default_factory=dict)
    tuned: tuple[str, ...] = ()
    stretch: float = Field(1.0, gt=0)
    arm: str | None = None


class TuningGroup(Section):
    """Trials of which the best, by validation on the tuning seed, is kept.

    Attributes:
        base: Recipe keys that every trial of the group shares.
        after: Groups whose best settings the trials start from.
        trials: Settings, each laid over the base.
        trials_only: Recipe keys laid over every trial but not over the arms, such as a shorter
            schedule.
    """

    base: Content = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    trials: tuple[Content, ...] = Field(min_length=1)
    trials_only: Content = Field(default_factory=dict)


class StudyConfig(Section):
    """A study.

    Attributes:
        name: Names the results and the cells' folder.
        title: For the page.
        description: Paragraphs that say what is compared and how.
        recipe: What all cells share.
        seeds: Seeds, outermost: every arm gets one before any arm gets the next.
        by_seed: Dotted recipe keys that are set to the seed. A key that ends in ``folds.test``, as
            ``data.folds.test`` or ``data.sources.NAME.folds.test``, is set to the seed modulo the
            count of those folds; seeds that repeat a fold are refused.
        tuning_seed: Seed of the tuning trials; none of ``seeds``.
        tuning: Groups of trials by name, run first, in order.
        arms: The methods compared, by name; the first is the baseline.
        results: Where the rows go.
        also_on: Other data sets, ``KIND:PATH`` by a name, on which each finished model is
            measured too, at both checkpoints; their rows go to ``RESULTS-NAME.json`` beside those
            of the study. For studies whose first task has classes.
    """

    name: Name
    title: str
    description: tuple[str, ...] = ()
    recipe: Content
    seeds: tuple[int, ...] = Field(min_length=1)
    by_seed: tuple[str, ...] = ()
    tuning_seed: int = 100
    tuning: dict[str, TuningGroup] = Field(default_factory=dict)
    arms: dict[str, ArmConfig] = Field(min_length=1)
    results: Path
    also_on: dict[Name, str] = Field(default_factory=dict)
    _file: str = PrivateAttr("")
    _overrides: tuple[str, ...] = PrivateAttr(())

    @property
    def command(self) -> str:
        """Return the command that runs it, from the folder that holds ``configs``.

        Overrides that say where data lie, or what computes, are this machine's and left out.
        """
        file = self._file or f"configs/studies/{self.name}.yaml"
        said = [each for each in self._overrides if not _of_a_machine(each.partition("=")[0])]
        return shlex.join(["hybridface", "study", file, *said])

    def changed_by(self, overrides: Sequence[str]) -> Self:
        """Return the study with ``key=value`` changes of its recipe, for its command."""
        changed = self.model_copy()
        changed._overrides = tuple(overrides)
        return changed

    def row_name(self, arm: str) -> str:
        """Return what the rows of an arm call it."""
        return self.arms[arm].arm or arm


@dataclass(frozen=True)
class Cell:
    """One training of a study.

    Attributes:
        arm: Its arm, or ``tuning/GROUP`` for a trial.
        method: What its row calls it.
        seed: Its seed.
        recipe: The resolved recipe.
        settings: For a trial, what it tries.
    """

    arm: str
    method: str
    seed: int
    recipe: Recipe
    settings: Content

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of tuning, and of no arm."""
        return self.arm.startswith(TUNING)

    @cached_property
    def _first(self) -> Task:
        return next(task for task in build_tasks(self.recipe.tasks) if task.supervised)

    @property
    def numeric(self) -> bool:
        """Whether its first supervised task learns numbers, so that it is measured by errors."""
        return self._first.numeric

    @property
    def own_select(self) -> str | None:
        """The figure under ``training.select``, where a task of the user's own brings it."""
        select = self.recipe.training.select
        known = any(select in task.selects for task in task_types().values())
        return None if known else select

    @property
    def chosen_by(self) -> str:
        """The key of its row by which trials are chosen, a validation figure.

        It is ``val_accuracy``, or ``val_mae`` of numbers; ``val_geodesic`` where
        ``training.select`` says so, and any figure that a task of the user's own brings.
        """
        if self.own_select is not None:
            return f"val_{self.own_select}"
        if not self.numeric:
            return "val_accuracy"
        return "val_geodesic" if self.recipe.training.select == "geodesic" else "val_mae"

    @property
    def figure_name(self) -> str:
        """What it is chosen by, in words."""
        return self.own_select or ("error" if self.numeric else "accuracy")

    @property
    def higher_is_better(self) -> bool:
        """Whether more of what it is chosen by is better."""
        if self.own_select is not None:
            return self._first.selects[self.own_select]
        return not self.numeric

    @property
    def measured(self) -> tuple[str, str]:
        """Return the figure it is chosen by, and the label column that this is of."""
        return self.chosen_by, self._first.label or ""

    @cached_property
    def key(self) -> str:
        """Return the hash of the resolved recipe; where files lie and what computes is left out.

        A source is known by its kind, its options and the last part of its path, so that the same
        data set elsewhere is the same cell; weights to start from are known by their content.
        What stands at its default is left out too, so that an option that comes later changes no
        key.

        Raises:
            UsageError: There are no weights where ``backbone.checkpoint`` says.
        """
        content = self.recipe.model_dump(mode="json", exclude=NOT_IN_KEY, exclude_defaults=True)
        for (section, option), former in FORMER_DEFAULTS.items():
            chosen = getattr(getattr(self.recipe, section), option)
            content.setdefault(section, {}).pop(option, None)
            if chosen != former:
                content[section][option] = chosen
        content = {section: options for section, options in content.items() if options != {}}
        content["tasks"] = _chosen(self.recipe.tasks)
        if self.recipe.pretrain is not None:
            content["pretrain"] = {
                **content.get("pretrain", {}),
                "tasks": _chosen(self.recipe.pretrain.tasks),
            }
        if self.recipe.backbone.checkpoint is not None:
            weights = weights_file(self.recipe.backbone.checkpoint)
            content["backbone"]["checkpoint"] = sha256(weights.read_bytes()).hexdigest()
        if self.recipe.data.source:
            content["data"]["source"] = known_as(self.recipe.data.source)
        for name, each in self.recipe.data.sources.items():
            content["data"]["sources"][name]["source"] = known_as(each.source)
        if self.recipe.data.unlabelled:
            content["data"]["unlabelled"] = [
                spec if spec == REST else known_as(spec) for spec in self.recipe.data.unlabelled
            ]
        content["version"] = TRAINING_VERSION
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _of_a_machine(key: str) -> bool:
    """Say whether a recipe's key is about where files lie or what computes."""
    section, _, option = key.partition(".")
    left_out = NOT_IN_KEY.get(section, ())
    named = option.rpartition(".")[2] in ("source", "unlabelled")
    return left_out is True or option.partition(".")[0] in left_out or (section == "data" and named)


def _chosen(options: Mapping[str, Mapping[str, Any]]) -> Content:
    """Return what each of some tasks is told other than its default."""
    return {
        task.name: task.config.model_dump(mode="json", exclude_defaults=True)
        for task in build_tasks(options)
    }


def known_as(source: str) -> list[str]:
    """Return what of ``KIND:PATH?options`` is the same wherever the data lie."""
    spec = split_spec(source)
    return [spec.kind, Path(spec.path).name, spec.query]


def _check_names(config: StudyConfig) -> None:
    """Refuse tuning groups that are unknown or come too late, and seeds that stand twice."""
    if twice := sorted({seed for seed in config.seeds if config.seeds.count(seed) > 1}):
        raise UsageError(f"study {config.name}: seeds names {twice[0]} more than once")
    if config.tuning and config.tuning_seed in config.seeds:
        raise UsageError(f"study {config.name}: tuning_seed {config.tuning_seed} is one of seeds")
    known: list[str] = []
    for name, group in config.tuning.items():
        for before in group.after:
            if before not in known:
                raise unknown(f"earlier tuning group in tuning.{name}.after", before, known)
        known.append(name)
    for arm, options in config.arms.items():
        for group_name in options.tuned:
            if group_name not in known:
                raise unknown(f"tuning group in arms.{arm}.tuned", group_name, known)


def load_study(path: Path) -> StudyConfig:
    """Read a study file.

    Raises:
        UsageError: The file or one of its keys is wrong.
    """
    content = read_yaml(path)
    if "tasks" in content and "arms" not in content:
        raise UsageError(
            f"{path}: a recipe, which 'hybridface train' takes; a study has its recipe under "
            "'recipe', and beside it seeds and arms"
        )
    config = validate(StudyConfig, content, str(path))
    _check_names(config)
    inside = path.absolute().parts[-3:]  # not where this machine has it
    config._file = "/".join(inside) if inside[0] == "configs" else path.name
    return config
