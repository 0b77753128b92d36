"""Hooks of the documentation site: pages made from the code, and nothing fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from reference import commands_page, configuration_page

ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']?https?://[^>]*>"""
    r"""|<link(?![^>]*canonical)[^>]*\shref=["']?https?://[^>]*>"""
    r"""|url\(["']?https?://[^)]*\)|@import\s+["']https?://[^;]*""",
    re.IGNORECASE,
)

COPIED = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "benchmarks/README.md",
    "card.md": "src/hybridface/models/README.md",
}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that the code and the stored results decide."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        "results/index.md": results_page(Path(config.docs_dir) / "results"),
    }
    root = Path(config.config_file_path).parent
    for name, source in COPIED.items():
        made[name] = (root / source).read_text(encoding="utf-8")
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def results_page(folder: Path) -> str:
    """List the pages that studies have written, each under its own title."""
    lines = [
        "# Results\n",
        "A page here is written by `hybridface study`, from rows that are stored beside it as "
        "JSON; none is written by hand. It is there as soon as there are rows, and says at its top "
        "how many cells are finished.\n",
    ]
    pages = sorted(folder.glob("*.md"))
    for page in pages:
        title = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        lines.append(f"- [{title[1] if title else page.stem}]({page.name})")
    if not pages:
        lines.append("No study has rows yet, so no claim is made that hybrid learning pays.")
    return "\n".join(lines) + "\n"


def on_post_build(*, config: Any) -> None:
    """Refuse a site that would fetch anything from another machine."""
    site = Path(config.site_dir)
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css"}:
            found = ELSEWHERE.search(path.read_text(encoding="utf-8"))
            if found:
                raise PluginError(
                    f"{path.relative_to(site)} loads from elsewhere: {found[0][:120]}"
                )
