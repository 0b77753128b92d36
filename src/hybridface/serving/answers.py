"""What the server answers, described for OpenAPI; the answers themselves are made as plain JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hybridface.inference.runtime import FaceModel
from hybridface.serving.limits import Limits

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class FaceAnswer(BaseModel):
    """A face: beside these, an entry a task of the model, by its name.

    A classification has ``label``, ``probability`` and ``probabilities`` by class; a pose ``yaw``,
    ``pitch`` and ``roll`` in degrees; a regression ``mean`` and ``deviation``; numbers that have a
    ``unit`` say it.
    """

    model_config = ConfigDict(extra="allow")
    box: Box = Field(description="Left, top, right, bottom in pixels of the upright picture.")
    score: float | None = Field(None, description="How sure the detector is, 0 to 1.")
    landmarks: list[Point] | None = Field(None, description="Eyes, nose, corners of the mouth.")


class PictureAnswer(BaseModel):
    """A picture and its faces, the surest first, as ``hybridface predict --json`` prints it."""

    image: str = Field(description="The name that it was sent with.")
    width: int | None = None
    height: int | None = None
    faces: list[FaceAnswer] = Field(description="None where no face was found.")
    faces_left_out: int | None = Field(None, description="Faces beyond those that are read.")
    error: str | None = Field(None, description="Why it could not be read.")


class Prediction(BaseModel):
    """The pictures in the order that they were sent in."""

    pictures: list[PictureAnswer]


class HeadAnswer(BaseModel):
    """What one self-supervised head was dealt and answered.

    A puzzle has ``grid``, ``dealt``, ``answered``, ``probabilities``, ``laid`` and ``right``;
    in-painting has ``holes`` and ``psnr``.
    """

    model_config = ConfigDict(extra="allow")
    name: str
    kind: str = Field(description="puzzle or inpaint")
    pictures: dict[str, str] = Field(
        description="intact, dealt and answered, each a PNG as a data URL."
    )


class Dealt(BaseModel):
    """The self-supervised heads at work on one face."""

    image: str
    seed: int
    box: Box | None = Field(description="The face; null where there is none.")
    answers: list[HeadAnswer]


class Refusal(BaseModel):
    """Why a request was not done, in a sentence."""

    error: str


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "pictures": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No picture in the request, or no such form"},
    401: {"model": Refusal, "description": "The key is missing or wrong"},
    408: {"model": Refusal, "description": "The request came too slowly"},
    413: {"model": Refusal, "description": "Too many bytes or pictures"},
    415: {"model": Refusal, "description": "Neither a form nor a picture"},
    429: {"model": Refusal, "description": "Overloaded; Retry-After says when to try again"},
    503: {
        "model": Refusal,
        "description": "The answer took too long, or too many connections are open",
    },
}


def about(model: FaceModel, heads: list[dict[str, Any]], limits: Limits) -> dict[str, Any]:
    """Return what a client must know of the model and the limits."""
    said = model.metadata
    return {
        "tasks": {
            name: {"kind": task.kind, "classes": list(task.classes), "unit": task.unit}
            for name, task in model.tasks.items()
        },
        "self_supervised": heads,
        "model": {
            key: said[key]
            for key in ("version", "size", "backbone", "trained_on", "licence")
            if key in said
        },
        "limits": {
            "request_bytes": limits.request_bytes,
            "pixels": limits.pixels,
            "pictures": limits.pictures,
            "faces": limits.faces,
            "seconds": limits.seconds,
        },
    }
