"""Which pictures the cells of a study are tested on: the same for every seed, or a fold each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hybridface.config import DataConfig, FoldConfig
from hybridface.data.sources import kinds_of
from hybridface.errors import UsageError
from hybridface.study.config import Cell, StudyConfig

FOLD = "folds.test"
# What of a data set decides which of its pictures are the test split, the last where it is cut.
CUTS = {"source", "folds", "test_part", "keep_together"}
CUT_TOGETHER = "keep_together"


def rotates(key: str) -> bool:
    """Say whether a key of ``by_seed`` names a test fold."""
    return f".{key}".endswith(f".{FOLD}")


def value_of_seed(content: Mapping[str, Any], key: str, seed: int) -> int:
    """Return what a key of ``by_seed`` becomes: the seed, or the fold that its turn comes to.

    Args:
        content: The recipe's content, which says how many folds there are where the key stands.
        key: The dotted key.
        seed: The seed.
    """
    if not rotates(key):
        return seed
    section: Any = content
    for part in key.split(".")[:-1]:
        section = section.get(part) if isinstance(section, Mapping) else None
    said = section if isinstance(section, Mapping) else {}
    count = said.get("count", FoldConfig.model_fields["count"].default)
    return seed % count if isinstance(count, int) and count > 0 else seed


def same_test_pictures(cells: Sequence[Cell]) -> bool:
    """Say whether each arm is tested on the same pictures by every seed."""
    return all(len(set(cuts.values())) == 1 for cuts in _cuts_by_arm(cells).values())


def refuse_repeated_folds(config: StudyConfig, cells: Sequence[Cell]) -> None:
    """Refuse seeds that take turns in the test folds and come round to one that was taken.

    Args:
        config: The study.
        cells: The cells of its arms.

    Raises:
        UsageError: Two seeds of an arm are tested on the same fold.
    """
    keys = [key for key in config.by_seed if rotates(key)]
    if not keys:
        return
    for arm, cuts in _cuts_by_arm(cells).items():
        seed_of: dict[str, int] = {}
        for seed, cut in cuts.items():
            if cut in seed_of:
                raise UsageError(
                    f"study {config.name}, arm {arm}: seeds {seed_of[cut]} and {seed} are tested "
                    f"on the same fold by {', '.join(keys)}, and would count as two; leave out "
                    "one of them, or raise the count of the folds"
                )
            seed_of[cut] = seed


def refuse_other_pictures(config: StudyConfig, cells: Sequence[Cell]) -> None:
    """Refuse arms that a page compares, seed by seed, though their test pictures are others.

    Args:
        config: The study.
        cells: The cells of its arms.

    Raises:
        UsageError: Two arms of the same data and fraction are tested on other pictures by a seed.
    """
    known: dict[tuple[str, float, int], tuple[str, str]] = {}
    for cell in cells:
        data = cell.recipe.data
        setting = (kinds_of(data.specs.values()), data.fraction, cell.seed)
        arm, cut = known.setdefault(setting, (cell.arm, _cut(data)))
        if cut != _cut(data):
            raise UsageError(
                f"study {config.name}: arms {arm} and {cell.arm} have the same data and fraction, "
                f"so they are compared, but seed {cell.seed} tests them on other pictures: "
                f"{cut} and {_cut(data)}; give both the same data, or each a study of its own"
            )


def _cuts_by_arm(cells: Sequence[Cell]) -> dict[str, dict[int, str]]:
    """Return by arm and seed what the test pictures follow from."""
    found: dict[str, dict[int, str]] = {}
    for cell in cells:
        found.setdefault(cell.arm, {})[cell.seed] = _cut(cell.recipe.data)
    return found


def _cut(data: DataConfig) -> str:
    cuts = {}
    for name, part in data.parts().items():
        cuts[name] = part.model_dump(mode="json", include=CUTS)
        if part.folds is None and not part.test_part:
            del cuts[name][CUT_TOGETHER]  # the data set's own test split stays as it is
    return json.dumps(cuts)
