"""How a study's page judges, in words."""

from __future__ import annotations

from hybridface.report.measures import Measure


def rules(measure: Measure) -> list[str]:
    """Return the paragraphs that say how the headline arm is chosen and when arms differ.

    Args:
        measure: What the arms are compared by.
    """
    if measure.higher_is_better:
        best, verdicts, what = "highest mean validation accuracy", "higher or lower", ""
        better = "higher"
    else:
        best, verdicts, better = "lowest mean error on validation", "lower or higher error", "lower"
        what = (
            "Arms are compared by the mean absolute error of the test pictures, in "
            f"{measure.unit}; {measure.direction}, and a difference below zero is an improvement. "
        )
    return [
        f"The headline arm is the hybrid with the {best}, chosen without a "
        "look at the test figures, unless it says above that the study named another. Its "
        "comparison is the one to judge by. All other comparisons are shown for completeness, and "
        "their intervals are not corrected for their number. Nor are those of the headline arm, "
        "but its p values are: a claim stands beside the page's other claims where that is under "
        "0.05.",
        f"{what}A difference is called {verdicts} only when at least three seeds were run, and "
        "both 95% intervals, the t interval over seeds and the bootstrap over test pictures, lie "
        "wholly on that side of zero. Not told apart does not mean equal: the smallest detectable "
        "difference says which true difference this many seeds would have found four times in "
        "five.",
        "What is said of the headline arm is said of both checkpoints, the one that did best on "
        f"the validation set and the last epoch: where only one of them is {better}, that one is "
        "named.",
        "Equal epochs and equal compute follow from the figures of the arms, not from their names: "
        "compute is equal where the pictures that went through the backbone in training, views "
        "included, differ by at most a tenth.",
        "Seeds that were cut from the same data share training pictures, so the interval over "
        "seeds may be somewhat too narrow.",
    ]
