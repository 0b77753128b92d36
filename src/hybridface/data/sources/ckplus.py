"""CK+48: crops of the extended Cohn-Kanade data set (Lucey et al. 2010), one folder a class."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hybridface.data.source import Rows, as_text, describe_folder, is_folder
from hybridface.data.sources.folder import Folder, FolderOptions
from hybridface.data.sources.label_files import names_in
from hybridface.data.sources.tables import numbered

_SUBJECT = re.compile(r"(S[0-9]{3})_", re.IGNORECASE)


class CkPlus(Folder):
    """The last three frames of sequences from neutral to an expression, at 48 x 48.

    A group is a subject, by the start of the name; a picture whose name has none is a group of its
    own, and named. There is no neutral class in this version, and no split.
    """

    kind = "ckplus"
    layout = "PATH/EXPRESSION/SNNN_*.png (subject NNN), or these below PATH/CK+48"

    def __init__(self, path: str, options: FolderOptions) -> None:
        super().__init__(path, options)
        if is_folder(self.root / "CK+48"):
            self.root = self.root / "CK+48"

    def read(self) -> Rows:
        """Look through the folders; see :meth:`hybridface.data.source.Source.read`."""
        if not any(map(_SUBJECT.match, self._names())):
            raise self.refuse(describe_folder(self.root))
        rows = super().read()
        found = [_SUBJECT.match(Path(key).name) for key in rows.keys]
        pairs = list(zip(found, rows.keys, strict=True))
        subjects = [match[1].upper() if match else key for match, key in pairs]
        without = [key for match, key in pairs if match is None]
        notes = [*rows.notes]
        if without:
            notes.append(f"{len(without)} names without a subject, as {as_text(without[0])}")
        return replace(rows, group=numbered(subjects), notes=notes)

    def _names(self) -> list[str]:
        return [name for folder in names_in(self.root) for name in names_in(self.root / folder)]
