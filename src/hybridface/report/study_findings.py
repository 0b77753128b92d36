"""What a study found, in words: the notice, the key figures and the callouts of its page."""

from __future__ import annotations

from collections.abc import Sequence

from hybridface.report.analysis import FEWEST_SEEDS, Claim, Comparison, claim
from hybridface.report.cells import Arm, Setting, StudyResult, choose_headline
from hybridface.report.document import Callout, Part, Tile
from hybridface.report.study_tables import headline_table
from hybridface.report.text import counted, joined, percent


def notice(study: StudyResult, found: Sequence[Setting]) -> str:
    """Say which settings have too few seeds to judge by; empty where none has."""
    few = []
    for setting in found:
        main = _main(study, setting)
        count = main.kept.difference.count if main else 0
        if count < FEWEST_SEEDS:
            few.append(f"{counted(count, 'seed')} in {setting.title}")
    if not few:
        return ""
    return (
        f"This is no evidence yet: the headline arm and its baseline share only {joined(few)}. "
        f"No difference is judged with fewer than {FEWEST_SEEDS} seeds."
    )


def tiles(study: StudyResult, found: Sequence[Setting]) -> list[Tile]:
    """Show the headline arm against every supervised arm, or by setting where there are several."""
    if len(found) == 1:
        shown = [(found[0], each) for each in _claims(study, found[0])]
    else:
        every = ((setting, _main(study, setting)) for setting in found)
        shown = [(setting, main) for setting, main in every if main is not None]
    return [
        Tile(
            f"{each.kept.treated.name} against {each.kept.control.name} ({each.kept.relation})",
            _change(each.kept),
            f"{each.verdict}; {_signed(each.last)} at the last epoch; test "
            f"{setting.measure.name}, {setting.title}",
        )
        for setting, each in shown
    ]


def findings(study: StudyResult, found: Sequence[Setting]) -> list[Part]:
    """Say for each setting what the headline arm did, and lay it out."""
    parts: list[Part] = [_finding(study, setting) for setting in found]
    every = {setting.title: _claims(study, setting) for setting in found}
    return [*parts, headline_table(every)] if any(every.values()) else parts


def _claims(study: StudyResult, setting: Setting) -> list[Claim]:
    """Compare the headline arm with every supervised arm that shares a seed with it."""
    if setting.headline is None:
        return []
    controls = [arm for arm in setting.arms if not arm.is_hybrid]
    every = (claim(setting.headline, arm, study.same_test_pictures) for arm in controls)
    return [each for each in every if each is not None]


def _main(study: StudyResult, setting: Setting) -> Claim | None:
    """Return the claim against the baseline."""
    claims = _claims(study, setting)
    return next((each for each in claims if each.kept.control is setting.baseline), None)


def _finding(study: StudyResult, setting: Setting) -> Callout:
    headline, main = setting.headline, _main(study, setting)
    if headline is None:
        return Callout(f"{setting.title}: no hybrid arm has finished yet.", "warning")
    if main is None:
        text = f"{headline.name} has no seed in common with {study.baseline} yet."
        return Callout(f"{setting.title}: {text}", "warning")
    chosen = headline is choose_headline(setting.arms)
    how = "chosen on validation" if chosen else "named by the study"
    claims = _claims(study, setting)
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
