"""How a study's page judges, in words."""

from __future__ import annotations

from hybridface.report.cells import Setting, StudyResult


def rules(study: StudyResult, setting: Setting) -> list[str]:
    """Return the paragraphs that say how the headline arm is chosen and when arms differ.

    Args:
        study: The study.
        setting: Any of its settings, which are all compared by one measure.
    """
    measure = setting.measure
    if measure.higher_is_better:
        best, verdicts, better, what = "highest", "higher or lower", "higher", ""
    else:
        best, verdicts, better = "lowest", "lower or higher error", "lower"
        what = (
            "Arms are compared by the mean absolute error of the test pictures, in "
            f"{measure.unit}; {measure.direction}, and a difference below zero is an improvement. "
        )
    grouped = any(cell.details.test_groups for arm in setting.arms for cell in arm.cells.values())
    drawn = ", drawn by the groups that the data set names, such as persons" if grouped else ""
    same = (
        "All seeds were tested on the same pictures: the interval over seeds says how far a "
        "difference moves with another training, and nothing of other test pictures. "
        if study.same_test_pictures
        else ""
    )
    return [
        f"The headline arm is the hybrid with the {best} mean validation {measure.chosen_by}, "
        "chosen without a look at the test figures, unless it says above that the study named "
        "another. Its comparison is the one to judge by. All other comparisons are shown for "
        "completeness, and their intervals are not corrected for their number. Nor are those of "
        "the headline arm, but its p values are corrected for the number of claims on this page: "
        "a claim stands beside the others where its corrected p value is under 0.05.",
        f"{what}A difference is called {verdicts} only when at least three seeds were run, and "
        "both 95% intervals, the t interval over seeds and, where single pictures were recorded, "
        f"the bootstrap over test pictures{drawn}, lie wholly on that side of zero. Not told apart "
        "does not mean equal: the smallest detectable difference says which true difference this "
        "many seeds would have found four times in five.",
        "What is said of the headline arm is said of both checkpoints, the one that did best on "
        f"the validation set and the last epoch: where only one of them is {better}, that one is "
        "named.",
        "Equal epochs and equal compute follow from the figures of the arms, not from their names: "
        "compute is equal where the pictures that went through the backbone in training, views "
        "included, differ by at most a tenth.",
        f"{same}Seeds that were cut from the same data share training pictures, so the interval "
        "over seeds may be somewhat too narrow.",
    ]
