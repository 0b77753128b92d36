"""The extended Cohn-Kanade data set, CK+ (Lucey et al., CVPRW 2010): whole, or the crops CK+48."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hybridface.data.source import Rows, as_text, describe_folder, is_folder
from hybridface.data.sources.ckplus_sequences import (
    CkPlusOptions,
    find_whole,
    read_sequences,
)
from hybridface.data.sources.folder import Folder
from hybridface.data.sources.label_files import names_in
from hybridface.data.sources.tables import numbered
from hybridface.errors import UsageError

_SUBJECT = re.compile(r"(S[0-9]{3})_", re.IGNORECASE)


class CkPlus(Folder):
    """The last three frames of sequences from neutral to an expression; no splits.

    A group is a subject, by the start of the name; a picture whose name has none is a group of its
    own, and named.

    CK+48 has these frames at 48 x 48, and no neutral class. Of the whole set, the 327 sequences
    with an emotion give the same frames; the others are left out and counted. Where the landmarks
    are there, faces are cut out by them, else the pictures are whole.
    """

    kind = "ckplus"
    layout = (
        "PATH/EXPRESSION/SNNN_*.png (subject NNN), or these below PATH/CK+48; or the whole set, "
        "PATH/cohn-kanade-images/SNNN/NNN/SNNN_NNN_NNNNNNNN.png with PATH/Emotion/SNNN/NNN/"
        "*_emotion.txt (1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise) "
        "and where known PATH/Landmarks/SNNN/NNN/*_landmarks.txt, or each of these folders in one "
        "called by its archive, or all of them below PATH/CK+"
    )
    Options = CkPlusOptions
    options: CkPlusOptions

    def __init__(self, path: str, options: CkPlusOptions) -> None:
        super().__init__(path, options)
        if is_folder(self.root / "CK+48"):
            self.root = self.root / "CK+48"

    def read(self) -> Rows:
        """Look through the folders; see :meth:`hybridface.data.source.Source.read`."""
        whole = find_whole(self.root)
        if whole and not self.options.unlabelled:
            return read_sequences(self, whole, self.options)
        for name in sorted(self.options.model_fields_set & {"neutral", "margin"}):
            raise UsageError(
                f"ckplus:{self.path}: ?{name}= is about the sequences of the whole set; leave it "
                "out for CK+48 and beside unlabelled=true"
            )
        if not whole and not any(map(_SUBJECT.match, self._names())):
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
