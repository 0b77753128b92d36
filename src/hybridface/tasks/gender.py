"""Gender as the data set has it: a classification with a label column of that name."""

from __future__ import annotations

from hybridface.tasks.expression import Expression, ExpressionConfig


class GenderConfig(ExpressionConfig):
    """Options of ``gender``; those of ``expression`` with another label column.

    Attributes:
        label: The label column.
    """

    label: str = "gender"


class Gender(Expression):
    """The classification of ``expression`` on the label column ``gender``."""

    type_name = "gender"
    summary = "classification of the label column gender"
    Config = GenderConfig
