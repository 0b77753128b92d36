"""Recipes: everything that decides a training run, in one YAML file; a section, a file."""

from hybridface.config.backbone import BackboneConfig
from hybridface.config.data import REST, DataConfig, FoldConfig, SourceConfig
from hybridface.config.recipe import Recipe, build_recipe, load_recipe
from hybridface.config.section import Section
from hybridface.config.training import (
    AugmentConfig,
    AugmentLevel,
    BatchNormMode,
    PretrainConfig,
    TrainingConfig,
)

__all__ = [
    "REST",
    "AugmentConfig",
    "AugmentLevel",
    "BackboneConfig",
    "BatchNormMode",
    "DataConfig",
    "FoldConfig",
    "PretrainConfig",
    "Recipe",
    "Section",
    "SourceConfig",
    "TrainingConfig",
    "build_recipe",
    "load_recipe",
]
