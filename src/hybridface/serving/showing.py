"""The model's other half on one face: what its self-supervised heads were dealt and answered."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from hybridface import images
from hybridface.inference.dealing import Answer, Dealer
from hybridface.inference.detection.base import Detector, Picture

MOST_SEED = 2**32 - 1


def deal(
    dealers: Sequence[Dealer], detector: Detector | None, picture: Picture, face: int, seed: int
) -> dict[str, Any]:
    """Deal one face of a picture to each head.

    Args:
        dealers: The heads.
        detector: What finds the face; None where the picture is one.
        picture: RGB uint8 ``(H, W, 3)``.
        face: Which face, 0 for the surest.
        seed: Decides what is dealt.

    Returns:
        ``box`` and ``answers`` as in :class:`~hybridface.serving.answers.Dealt`; no box and no
        answers where there is no such face.

    Raises:
        HybridFaceError: ONNX Runtime failed.
    """
    if detector is None:
        height, width = picture.shape[:2]
        boxes = np.array([[0, 0, width, height]], np.float32)[face : face + 1]
    else:
        boxes = detector.detect([picture])[0].boxes[face : face + 1]
    if not len(boxes):
        return {"box": None, "answers": []}
    answers = []
    for number, dealer in enumerate(dealers):
        model = dealer.model
        if detector is None:
            cut = images.resize(picture, model.size)
        else:
            cut = model.crop.cut(picture, boxes, model.size)[0]
        answers.append(_as_json(dealer.ask(cut, np.random.default_rng([seed, number]))))
    return {"box": [round(float(each), 2) for each in boxes[0]], "answers": answers}


def _as_json(answer: Answer) -> dict[str, Any]:
    pictures = {name: _data_url(picture) for name, picture in answer.pictures.items()}
    return {"name": answer.name, "kind": answer.kind, **answer.facts, "pictures": pictures}


def _data_url(picture: Picture) -> str:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
