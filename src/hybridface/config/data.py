"""Recipes, their section ``data``: which pictures and labels, and how they are cut."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hybridface.config.section import Section
from hybridface.files import CACHE_LIMIT_GIB

REST = "rest"


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
