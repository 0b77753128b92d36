"""The page of a study: what was compared, what came out, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridface.errors import HybridFaceError
from hybridface.files import write_atomically
from hybridface.report.analysis import Claim
from hybridface.report.cells import Setting, StudyResult, settings
from hybridface.report.document import (
    Gallery,
    Listing,
    Page,
    Paragraph,
    Part,
    Section,
    render_html,
    render_markdown,
)
from hybridface.report.study_conditions import condition_sections
from hybridface.report.study_figures import (
    accuracy_figure,
    compute_figure,
    confusion_figures,
    curve_figures,
    difference_figures,
)
from hybridface.report.study_findings import Judged, findings, judge, notice, tiles
from hybridface.report.study_fit import fit_table, flattening_table, gain_table, task_table
from hybridface.report.study_further import calibration_table, figure_table
from hybridface.report.study_rules import rules
from hybridface.report.study_settings import recipe_table, tuning_parts
from hybridface.report.study_tables import (
    arm_table,
    cell_table,
    comparison_tables,
    machine_table,
)
from hybridface.report.text import counted

__all__ = ["StudyResult", "write_study_page"]


def write_study_page(study: StudyResult, markdown: Path, html: Path) -> None:
    """Write the page of a study, in HTML with figures and in Markdown without.

    Args:
        study: What the study found.
        markdown: Where to write the Markdown.
        html: Where to write the self-contained HTML.

    Raises:
        HybridFaceError: The study has no finished cell, a row or detail is broken, or a file
            cannot be written.
    """
    page = _page(study)
    write_atomically(html, render_html(page))
    write_atomically(markdown, render_markdown(page))


def _page(study: StudyResult) -> Page:
    found = settings(study)
    if not found:
        raise HybridFaceError(f"study {study.name}: no cell has finished, there is nothing to show")
    measure, judged = found[0].measure, [judge(study, setting) for setting in found]
    several = len(found) > 1
    parts = [section for each in judged for section in _setting_sections(each, several)]
    parts += condition_sections(study, found)
    tail: list[Section] = []
    if study.tuning:
        tail.append(Section("Tuning", tuning_parts(study, measure)))
    cells = cell_table(study.rows, 1 + measure.decimals)
    tail.append(Section("Every cell", [machine_table(study.rows), cells]))
    if study.command:
        tail.append(Section("Run it again", [Listing("Command:", study.command)]))
    described = [Paragraph(text) for text in (*study.description, *rules(study, found[0]))]
    return Page(
        title=study.title,
        lead=_lead(study),
        notices=[said for said in [notice(judged)] if said],
        tiles=tiles(judged),
        sections=[
            Section("What came out", findings(judged)),
            Section("What was compared, and how", described),
            *parts,
            *tail,
        ],
    )


def _lead(study: StudyResult) -> str:
    arms = {row["arm"] for row in study.rows}
    seeds = {row["seed"] for row in study.rows}
    return (
        f"Study {study.name}: {counted(len(arms), 'arm')}, {counted(len(seeds), 'seed')}, "
        f"{counted(len(study.rows), 'finished cell')}."
    )


def _setting_sections(judged: Judged, several: bool) -> list[Section]:
    setting = judged.setting
    suffix = f": {setting.title}" if several else ""
    right = setting.measure.higher_is_better
    contents: dict[str, list[Part]] = {
        f"{setting.measure.name.capitalize()} and cost of each arm": _arm_parts(setting),
        "Differences to the supervised arms": _difference_parts(setting, judged.every),
        "Training": _training_parts(setting),
        "Mistakes and calibration" if right else "Further figures": _mistake_parts(setting),
    }
    return [Section(f"{title}{suffix}", parts) for title, parts in contents.items() if parts]


def _arm_parts(setting: Setting) -> list[Part]:
    compute = compute_figure(setting)
    drawn = [accuracy_figure(setting), *([compute] if compute else [])]
    tables = [arm_table(setting), gain_table(setting), recipe_table(setting)]
    return [Gallery(drawn), *(table for table in tables if table is not None)]


def _difference_parts(setting: Setting, claims: Sequence[Claim]) -> list[Part]:
    if not claims:
        return []
    drawn = difference_figures(setting, [each.kept for each in claims])
    return [Gallery(drawn), *comparison_tables(claims, setting.headline)]


def _training_parts(setting: Setting) -> list[Part]:
    curves = curve_figures(setting)
    parts: list[Part] = [Gallery(curves)] if curves else []
    tables = [flattening_table(setting), fit_table(setting), task_table(setting)]
    return [*parts, *(table for table in tables if table is not None)]


def _mistake_parts(setting: Setting) -> list[Part]:
    if not setting.measure.higher_is_better:
        table = figure_table(setting)
        return [table] if table else []
    confusions = confusion_figures(setting)
    calibration = calibration_table(setting)
    parts: list[Part] = [Gallery(confusions)] if confusions else []
    return parts + ([calibration] if calibration else [])
