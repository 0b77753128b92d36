"""Recipes: everything that decides a training run, in one YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from hybridface.config.backbone import BackboneConfig
from hybridface.config.content import name_tasks, override, read_yaml, validate
from hybridface.config.data import DataConfig
from hybridface.config.section import Section
from hybridface.config.training import AugmentConfig, PretrainConfig, TrainingConfig


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
