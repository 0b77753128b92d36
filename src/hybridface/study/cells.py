"""The cells of a study: the trials of its tuning, and its arms with what tuning chose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hybridface.config import TrainingConfig, build_recipe
from hybridface.config.content import drop_tasks, merge, override, parse_override, validate
from hybridface.errors import HybridFaceError, UsageError
from hybridface.study.config import TUNING, Cell, Content, StudyConfig
from hybridface.study.held_out import value_of_seed
from hybridface.study.ignored import refuse_ignored
from hybridface.tasks import build_tasks, resolve_tasks
from hybridface.training.refusals import refuse_backbone


class StudyCells:
    """Builds the cells of a study.

    Args:
        config: The study.
        overrides: ``key=value`` changes of the shared recipe.

    Raises:
        UsageError: One, or the study's file, says what the study sets by itself; see
            :func:`hybridface.study.ignored.refuse_ignored`.

    Attributes:
        chosen: The settings of the trial that is best, by tuning group, as far as that is known.
    """

    def __init__(self, config: StudyConfig, overrides: Sequence[str] = ()) -> None:
        refuse_ignored(config, overrides)
        self.config = config
        self.chosen: dict[str, Content] = {}
        self._shared: Content = override(config.recipe, overrides)
        self._arms: list[Cell] = []

    @property
    def tuned(self) -> bool:
        """Whether the best trial of every tuning group is known."""
        return self.chosen.keys() == self.config.tuning.keys()

    def choose(self, group: str, settings: Content) -> None:
        """Take some settings for the best of a tuning group."""
        self.chosen[group] = settings
        self._arms = []

    def forget(self, groups: Iterable[str]) -> None:
        """Take back what was chosen for some tuning groups."""
        for group in groups:
            del self.chosen[group]
        self._arms = []

    def trials(self, group: str) -> list[Cell]:
        """Return the cells of a tuning group; what it comes after must have been chosen."""
        tuning = self.config.tuning[group]
        base = merge(self._tuned(tuning.after), tuning.base)
        changes = [merge(merge(base, each), tuning.trials_only) for each in tuning.trials]
        return [
            self._build(f"{TUNING}{group}", group, self.config.tuning_seed, change, settings)
            for change, settings in zip(changes, tuning.trials, strict=True)
        ]

    def arm(self, name: str, seed: int) -> Cell:
        """Return one cell of an arm; the tuning groups of the arm must have been chosen."""
        config = self.config.arms[name]
        change = merge(self._tuned(config.tuned), config.change)
        if config.stretch != 1:
            said = merge(self._shared, change).get("training", {})
            training = validate(TrainingConfig, said, f"{self._where(name)}, training")
            stretched = {
                key: max(1, round(getattr(training, key) * config.stretch))
                for key in ("epochs", "validate_every")
            }
            change = merge(change, {"training": stretched})
        return self._build(name, config.method, seed, change, {})

    def arms(self) -> list[Cell]:
        """Return the cells of the arms whose tuning groups have been chosen, seeds outermost."""
        if not self._arms:
            known = [
                name for name, arm in self.config.arms.items() if {*arm.tuned} <= {*self.chosen}
            ]
            self._arms = [self.arm(name, seed) for seed in self.config.seeds for name in known]
        return self._arms

    def _tuned(self, groups: Sequence[str]) -> Content:
        change: Content = {}
        for group in groups:
            best = merge(self.config.tuning[group].base, self.chosen[group])
            change = merge(change, best)
        return change

    def _build(self, arm: str, method: str, seed: int, change: Content, settings: Content) -> Cell:
        content = drop_tasks(merge(self._shared, change))
        for key in ("seed", *self.config.by_seed):
            value = value_of_seed(content, key, seed)
            content = merge(content, parse_override(f"{key}={value}"))
        if arm.startswith(TUNING):  # a trial is judged on validation alone
            content = merge(content, {"training": {"test": False}})
        where = self._where(arm)
        recipe, tasks = resolve_tasks(build_recipe(content, where))
        if not any(task.supervised for task in tasks):
            raise UsageError(f"{where}: none of its tasks is supervised, so nothing is compared")
        if not arm.startswith(TUNING) and not recipe.training.test:
            raise UsageError(
                f"{where}: training.test is false, but arms are compared by test figures"
            )
        return Cell(arm, method, seed, recipe, settings)

    def refuse_backbones(self, cells: Iterable[Cell]) -> None:
        """Refuse backbones that cannot be, each tried once, before hours of the arms before them.

        Raises:
            UsageError: Names the arm, and what is wrong with its backbone.
        """
        tried: set[str] = set()
        ours = {"data": {"folds", "seed", "fraction"}}
        for cell in cells:
            of = {"backbone", "tasks", "data"}
            asked = cell.recipe.model_dump_json(include=of, exclude=ours)
            if asked not in tried:
                tried.add(asked)
                try:
                    refuse_backbone(cell.recipe, build_tasks(cell.recipe.tasks))
                except HybridFaceError as error:
                    raise UsageError(f"{self._where(cell.arm)}: {error}") from error

    def _where(self, arm: str) -> str:
        return f"study {self.config.name}, arm {arm}"
