"""Pictures inside a page: PNG in base64, and rows of what the self-supervised tasks see."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hybridface.report.document import Contact, Picture

LONGEST_SIDE = 160
Pictures = NDArray[np.uint8]


def data_address(pixels: Pictures) -> str:
    """Encode a picture for the ``src`` of an ``<img>``, made smaller if over 160 pixels.

    Args:
        pixels: ``(H, W, 3)`` RGB, uint8.

    Returns:
        A ``data:image/png;base64,`` address.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def contact_rows(
    samples: Mapping[str, Pictures], prefix: str = "", limit: int = 6
) -> list[Contact]:
    """Lay out sample pictures, one contact sheet for each self-supervised task.

    Args:
        samples: ``(B, H, W, 3)`` uint8 by ``"<task>/<caption>"``; captions become the column
            heads, in the order given.
        prefix: What to put before the task in the caption of the sheet, as the name of an arm.
        limit: The most rows of a sheet.

    Returns:
        One sheet a task; a row holds one picture at each stage.
    """
    sheets = []
    for task in dict.fromkeys(name.partition("/")[0] for name in samples):
        columns = {
            name.partition("/")[2] or task: pictures
            for name, pictures in samples.items()
            if name.partition("/")[0] == task
        }
        count = min(limit, *(len(pictures) for pictures in columns.values()))
        rows = [
            [
                Picture(data_address(pictures[index]), f"{task}, {head}, picture {index + 1}")
                for head, pictures in columns.items()
            ]
            for index in range(count)
        ]
        sheets.append(Contact(f"{prefix}{task}", list(columns), rows))
    return sheets
