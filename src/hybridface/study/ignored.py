"""What a study sets by itself, and so refuses to be told: it would be ignored without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybridface.config.content import parse_override
from hybridface.errors import UsageError
from hybridface.study.config import Content, StudyConfig


def refuse_ignored(config: StudyConfig, overrides: Sequence[str]) -> None:
    """Refuse recipe keys that a study sets by itself: run folders, seeds, what follows the seeds.

    Args:
        config: The study.
        overrides: ``key=value`` changes of its recipe.

    Raises:
        UsageError: Its file or an override says one; names where and which.
    """
    if "run" in config.by_seed:
        raise UsageError(f"study {config.name}, by_seed: {_why('run', config)}")
    for where, content in _contents(config, overrides):
        for key in ("run", "seed", *config.by_seed):
            if _says(content, key):
                raise UsageError(f"{where}: {_why(key, config)}")


def _why(key: str, config: StudyConfig) -> str:
    own = f"sets {key} by each of its seeds, which stand under seeds in its file"
    if key == "run":
        own = "gives each training a run folder of its own, so that run does nothing"
    return f"study {config.name} {own}; leave it out"


def _contents(config: StudyConfig, overrides: Sequence[str]) -> Iterator[tuple[str, Content]]:
    """Give all that recipes are made of: where it stands, and what it says."""
    for text in overrides:
        yield f"override '{text}'", parse_override(text)
    yield "recipe", config.recipe
    for name, group in config.tuning.items():
        yield f"tuning.{name}.base", group.base
        for number, trial in enumerate(group.trials):
            yield f"tuning.{name}.trials.{number}", trial
        yield f"tuning.{name}.trials_only", group.trials_only
    for name, arm in config.arms.items():
        yield f"arms.{name}.change", arm.change


def _says(content: Mapping[str, Any], key: str) -> bool:
    section: Any = content
    for part in key.split("."):
        if not isinstance(section, Mapping) or part not in section:
            return False
        section = section[part]
    return True
