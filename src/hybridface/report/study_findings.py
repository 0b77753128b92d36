"""What a study found, in words: the notice, the key figures and the callouts of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybridface.report.analysis import FEWEST_SEEDS, Claim, Comparison, claim
from hybridface.report.cells import Arm, Setting, StudyResult, choose_headline
from hybridface.report.document import Callout, Part, Tile
from hybridface.report.study_tables import headline_table
from hybridface.report.text import counted, joined, percent


@dataclass(frozen=True)
class Judged:
    """A setting with what is claimed of its headline arm.

    Attributes:
        setting: The setting.
        baseline: The name of the baseline.
        every: One claim of each hybrid against each supervised arm that shares a seed with it.
    """

    setting: Setting
    baseline: str
    every: Sequence[Claim]

    @property
    def claims(self) -> list[Claim]:
        """Those of the headline arm."""
        return [each for each in self.every if each.kept.treated is self.setting.headline]

    @property
    def main(self) -> Claim | None:
        """The claim against the baseline; None where there is none yet."""
        baseline = self.setting.baseline
        return next((each for each in self.claims if each.kept.control is baseline), None)


def judge(study: StudyResult, setting: Setting) -> Judged:
    """Compare every hybrid of a setting with every supervised arm."""
    controls = [arm for arm in setting.arms if not arm.is_hybrid]
    hybrids = [arm for arm in setting.arms if arm.is_hybrid]
    every = [
        claim(hybrid, control, study.same_test_pictures)
        for control in controls
        for hybrid in hybrids
    ]
    return Judged(setting, study.baseline, [each for each in every if each is not None])


def notice(judged: Sequence[Judged]) -> str:
    """Say which settings have too few seeds to judge by; empty where none has."""
    few = []
    for each in judged:
        count = each.main.kept.difference.count if each.main else 0
        if count < FEWEST_SEEDS:
            few.append(f"{counted(count, 'seed')} in {each.setting.title}")
    if not few:
        return ""
    said = "This is" if len(few) == len(judged) else "In part this is"
    return (
        f"{said} no evidence yet: the headline arm and its baseline share only {'; '.join(few)}. "
        f"No difference is judged with fewer than {FEWEST_SEEDS} seeds."
    )


def tiles(judged: Sequence[Judged]) -> list[Tile]:
    """Show the headline arm against every supervised arm, or by setting where there are several."""
    if len(judged) == 1:
        shown = [(judged[0].setting, each) for each in judged[0].claims]
    else:
        shown = [(each.setting, each.main) for each in judged if each.main is not None]
    return [
        Tile(
            f"{each.kept.treated.name} against {each.kept.control.name} ({each.kept.relation})",
            _change(each.kept),
            f"{each.verdict}; {_signed(each.last)} at the last epoch; test "
            f"{setting.measure.name}, {setting.title}",
        )
        for setting, each in shown
    ]


def findings(judged: Sequence[Judged]) -> list[Part]:
    """Say for each setting what the headline arm did, and lay it out."""
    parts: list[Part] = [_finding(each) for each in judged]
    every = {each.setting.title: each.claims for each in judged}
    return [*parts, headline_table(every)] if any(every.values()) else parts


def _finding(judged: Judged) -> Callout:
    setting, main, claims = judged.setting, judged.main, judged.claims
    headline = setting.headline
    if headline is None:
        return Callout(f"{setting.title}: no hybrid arm has finished yet.", "warning")
    if main is None:
        text = f"{headline.name} has no seed in common with {judged.baseline} yet."
        return Callout(f"{setting.title}: {text}", "warning")
    chosen = headline is choose_headline(setting.arms)
    how = "chosen on validation" if chosen else "named by the study"
    few = any(each.kept.difference.count < FEWEST_SEEDS for each in claims)
    shared = headline.over(main.kept.control.cells.keys())
    counts = [counted(each.kept.difference.count, "shared seed") for each in claims]
    over = counts[0] if len(set(counts)) == 1 else f"{joined(counts)} in turn"
    return Callout(
        f"{setting.title}: the headline arm {headline.name}, {how}, reached "
        f"{_shown(shared, 'test')} mean test {setting.measure.name} at the validation checkpoint "
        f"and {_shown(shared, 'test_last')} at the last epoch{_better(setting)}. Over {over}, "
        f"the difference {'; '.join(map(_clause, claims))}.{_not_compared(claims)}"
        f"{' With so few seeds this is no evidence yet.' if few else ''}",
        tone="warning" if few else "finding",
    )


def _clause(each: Claim) -> str:
    control = each.kept.control.over(each.kept.treated.cells.keys())
    return (
        f"to {control.name} ({each.kept.relation}; {_shown(control, 'test')} and "
        f"{_shown(control, 'test_last')}) is "
        f"{_change(each.kept)} (95% interval {_interval(each.kept)}) and at "
        f"the last epoch {_signed(each.last)} ({_interval(each.last)}): {each.verdict}"
    )


def _shown(arm: Arm, name: str) -> str:
    return arm.measure.shown(arm.mean(name))


def _better(setting: Setting) -> str:
    return "" if setting.measure.higher_is_better else f" ({setting.measure.direction})"


def _signed(each: Comparison) -> str:
    return each.measure.change(each.difference.mean)


def _change(each: Comparison) -> str:
    """Write a difference with its unit and, of errors, by how many percent they are less."""
    said = f"{_signed(each)} {each.measure.short}"
    if each.less_error is None:
        return said
    way = "less" if each.less_error.mean >= 0 else "more"
    return f"{said}, {percent(abs(each.less_error.mean), 1)}% {way} error"


def _interval(each: Comparison) -> str:
    return each.measure.changes(each.difference.low, each.difference.high)


def _not_compared(claims: Sequence[Claim]) -> str:
    """Say whether a comparison at equal epochs or at equal compute is missing."""
    relations = [each.kept.relation for each in claims]
    said = ""
    if not any(each.startswith("equal epochs") for each in relations):
        said += " No supervised arm of equal epochs was compared."
    if any("not recorded" in each for each in relations):
        said += (
            " Which arm had equal compute cannot be told, as it was not recorded how many pictures "
            "went through the backbone."
        )
    elif not any(each in ("equal compute", "equal epochs and compute") for each in relations):
        said += " No supervised arm of equal compute was compared."
    return said
