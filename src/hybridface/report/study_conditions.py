"""What a study found over its settings: by labels, by augmentation, by initial weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hybridface.evaluation.statistics import Interval, t_interval
from hybridface.report.analysis import claim
from hybridface.report.cells import Arm, Setting, StudyResult
from hybridface.report.document import Figure, Gallery, Section, Table
from hybridface.report.interval_lines import Points, interval_lines
from hybridface.report.measures import Measure
from hybridface.report.study_gains import gains
from hybridface.report.study_tables import comparison_tables, seeds_note
from hybridface.report.text import MISSING, percent, with_bounds

LEVELS = ("none", "weak", "strong")
RANDOM, IMAGENET = "random", "imagenet"
Group = tuple[str, list[Setting]]


def condition_sections(study: StudyResult, found: Sequence[Setting]) -> list[Section]:
    """Return the sections over several settings; none where there is but one."""
    sections = [labels_section(group) for group in _groups(found, "fraction")]
    sections += [augmentation_section(group) for group in _groups(found, "augment")]
    sections += [weights_section(study, group) for group in _groups(found, "init")]
    return [section for section in sections if section is not None]


def labels_section(group: Group) -> Section | None:
    """Show what each arm gains on the baseline over how many labels there were."""
    title, settings = group
    measure = settings[0].measure
    lines: dict[str, list[tuple[float, Interval, str, int]]] = {}
    for setting in sorted(settings, key=lambda each: float(each.apart["fraction"])):
        if setting.baseline is None:
            continue
        share = percent(float(setting.apart["fraction"]), 0)
        labels = setting.baseline.mean("labels")
        for each in gains(setting):
            point = (labels, each.difference.interval, share, each.difference.count)
            lines.setdefault(each.name, []).append(point)
    if not any(len(points) > 1 for points in lines.values()):
        return None
    drawn = [
        Points(name, [each[0] for each in points], [each[1] for each in points], style)
        for style, (name, points) in enumerate(lines.items(), start=1)  # as beside the baseline
        if all(each[0] > 0 for each in points)
    ]
    svg = interval_lines(
        drawn, "Labelled training pictures", measure.over("the baseline"),
        f"{measure.gain} over the number of labels, {title}", reference=0,
        scale=measure.scale,
    )  # fmt: skip
    caption = (
        f"{measure.gain.capitalize()} {measure.on} the baseline of the same labels, in "
        f"{measure.differences}, with its 95% interval over seeds."
        f"{'' if measure.higher_is_better else ' Below zero is better.'}"
    )
    table = Table(
        caption,
        ["Arm", "Labels (%)", "Labels", "Difference", "95% interval over seeds", "Seeds"],
        [
            [name, share, f"{labels:,.0f}", measure.change(gain.mean),
             measure.changes(gain.low, gain.high), str(count)]
            for name, each in lines.items()
            for labels, gain, share, count in each
        ],
        text_columns=1,
    )  # fmt: skip
    gallery = [Gallery([Figure(svg, caption)])] if drawn else []
    what = "Gain against labels" if measure.higher_is_better else "Difference against labels"
    return Section(_title(what, title), [*gallery, table])


def augmentation_section(group: Group) -> Section | None:
    """Show the test error of each arm and initialisation over the level of augmentation."""
    title, settings = group
    measure = settings[0].measure
    unit = "percent" if measure.higher_is_better else measure.unit
    lines: dict[str, dict[str, Arm]] = {}
    every = [(setting.apart, arm) for setting in settings for arm in setting.arms]
    together = Setting(title, [arm for _, arm in every], None, None)
    for (apart, _), arm in zip(every, together.shared, strict=True):
        init = apart.get("init")
        name = arm.name if init is None else f"{arm.name}, {init} weights"
        lines.setdefault(name, {})[apart["augment"]] = arm
    known = {level for arms in lines.values() for level in arms}
    levels = [level for level in LEVELS if level in known] + sorted(known - {*LEVELS})
    errors = {
        name: {level: _error(arm) for level, arm in arms.items()} for name, arms in lines.items()
    }
    drawn = [
        Points(
            name,
            [float(levels.index(level)) for level in levels if level in of],
            [of[level] for level in levels if level in of],
            style,
        )
        for style, (name, of) in enumerate(errors.items())
    ]
    alt = f"test error of each arm over the level of augmentation, {title}"
    svg = interval_lines(
        drawn, "Augmentation", measure.head("Test error"), alt, names=levels, scale=measure.scale
    )
    caption = (
        f"Test error at the validation checkpoint, in {unit}, with its 95% interval over seeds. "
        f"Lower is better.{seeds_note(together)}"
    )
    table = Table(
        caption,
        ["Arm", *levels],
        [
            [name, *(_shown(of.get(level), measure) for level in levels)]
            for name, of in errors.items()
        ],
    )
    return Section(
        _title("Error against augmentation", title), [Gallery([Figure(svg, caption)]), table]
    )


def weights_section(study: StudyResult, group: Group) -> Section | None:
    """Compare every arm from random weights with ImageNet fine-tuning, seed by seed."""
    title, settings = group
    by_init = {setting.apart["init"]: setting for setting in settings}
    random, imagenet = by_init.get(RANDOM), by_init.get(IMAGENET)
    if random is None or imagenet is None or imagenet.baseline is None:
        return None
    control = replace(imagenet.baseline, name=f"{imagenet.baseline.name}, {IMAGENET} weights")
    arms = [replace(arm, name=f"{arm.name}, {RANDOM} weights") for arm in random.arms]
    every = (claim(arm, control, study.same_test_pictures) for arm in arms)
    claims = [each for each in every if each is not None]
    if not claims:
        return None
    return Section(_title("Random weights against ImageNet's", title), comparison_tables(claims))


def _error(arm: Arm) -> Interval:
    right = arm.measure.higher_is_better
    return t_interval([1 - value if right else value for value in arm.values("test")])


def _shown(error: Interval | None, measure: Measure) -> str:
    if error is None:
        return MISSING
    return with_bounds(measure.value(error.mean), measure.bounds(error))


def _title(what: str, group: str) -> str:
    return f"{what}: {group}" if group else what


def _groups(found: Sequence[Setting], key: str) -> list[Group]:
    """Return the settings that differ in one key, by what else they are.

    Initialisations belong together where augmentation is what differs.
    """
    free = {key, "init"} if key == "augment" else {key}
    groups: dict[str, list[Setting]] = {}
    for setting in found:
        if key in setting.apart:
            groups.setdefault(_others(setting.apart, free), []).append(setting)
    several = {
        name: group
        for name, group in groups.items()
        if len({setting.apart[key] for setting in group}) > 1
    }
    return [(name if len(several) > 1 else "", group) for name, group in several.items()]


def _others(apart: Mapping[str, str], free: set[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in apart.items() if name not in free)
