"""The rows of a study and their details, as its page reads them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hybridface.errors import HybridFaceError
from hybridface.report.measures import ACCURACY, Measure, error_measure

GEODESIC = "angle between rotations"


class Detail(BaseModel):
    """The details of one cell; see :class:`hybridface.report.cells.StudyResult`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    curve: list[tuple[float, float | None, float | None]] = Field(default_factory=list)
    test_correct: str | None = None
    test_correct_last: str | None = None
    test_count: int = 0
    test_errors: list[float] | None = None
    test_errors_last: list[float] | None = None
    test_groups: list[int] | None = None
    val_loss: list[float | None] = Field(default_factory=list)
    training_rows: list[tuple[float | None, float | None]] = Field(default_factory=list)
    confusion: list[list[int]] | None = None
    classes: list[str] = Field(default_factory=list)
    ece: float | None = None
    nll: float | None = None
    ssl: dict[str, float | None] = Field(default_factory=dict)
    figures: dict[str, float | None] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_square(self) -> Detail:
        if self.confusion is not None:
            sizes = {len(self.classes), len(self.confusion), *map(len, self.confusion)}
            if len(sizes) != 1:
                raise ValueError("confusion is not one row and one column for each class")
        return self


class FinishedCell(BaseModel):
    """The part of a row that is calculated with, and the details of the cell."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    cell: str
    arm: str
    method: str
    seed: int
    labels: int = 0
    epochs: float
    steps: int
    batch: int
    pictures: int | None = Field(default=None, ge=1)
    seconds: float
    details: Detail = Detail()
    val: float
    test: float
    test_last: float
    further: float | None

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """What ``val``, ``test`` and ``test_last`` are."""

    @property
    def chosen_by(self) -> float:
        """The validation figure by which the headline arm is chosen."""
        return self.val


class AccuracyCell(FinishedCell):
    """A cell whose first task has classes; figures are fractions of 1."""

    val: float = Field(alias="val_accuracy", ge=0, le=1)
    test: float = Field(alias="test_accuracy", ge=0, le=1)
    test_last: float = Field(alias="test_accuracy_last", ge=0, le=1)
    further: float = Field(alias="mean_class_accuracy", ge=0, le=1)

    @property
    def measure(self) -> Measure:
        """The accuracy."""
        return ACCURACY


class ErrorCell(FinishedCell):
    """A cell whose first task has numbers; figures are mean absolute errors in their unit."""

    val: float = Field(alias="val_mae", ge=0)
    test: float = Field(alias="test_mae", ge=0)
    test_last: float = Field(alias="test_mae_last", ge=0)
    further: float | None = Field(None, alias="test_geodesic", ge=0)
    val_geodesic: float | None = Field(None, ge=0)
    unit: str = ""
    select: str = "mae"
    decimals: int = 2

    @property
    def measure(self) -> Measure:
        """The mean absolute error; of poses that have all angles, the angle between them too."""
        further = f"{GEODESIC.capitalize()} (degrees)" if self.further is not None else ""
        by = "error" if self._geodesic is None else GEODESIC
        return error_measure(self.unit, by, further, self.decimals)

    @property
    def chosen_by(self) -> float:
        """The validation figure by which the headline arm is chosen."""
        return self.val if self._geodesic is None else self._geodesic

    @property
    def _geodesic(self) -> float | None:
        """The angle between rotations on validation, where it is what is chosen by."""
        return self.val_geodesic if self.select == "geodesic" else None


def read_cell(
    row: Mapping[str, Any], details: Mapping[str, Mapping[str, Any]], decimals: int = 2
) -> FinishedCell:
    """Return the cell of a row, with its details.

    Args:
        row: See :class:`hybridface.report.cells.StudyResult`.
        details: By the names of the cells.
        decimals: How many errors are written with.

    Raises:
        HybridFaceError: The row or the details are broken.
    """
    name = str(row.get("cell"))
    try:
        detail = Detail.model_validate(details.get(name, {}))
        kind = ErrorCell if "val_mae" in row else AccuracyCell
        return kind.model_validate({**row, "details": detail, "decimals": decimals})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HybridFaceError(f"study cell '{name}': {place}: {first['msg']}") from error
