"""Drawn faces: an endless labelled data set that needs nothing but NumPy and a seed.

A shaded 3D head with mesh, depth buffer and light, exact pose labels and continuous movements of
brows, lids and mouth behind seven expressions. The same seed gives the same pixels everywhere.
"""

from hybridface.data.drawn_faces.parameters import (
    ACTION_UNITS,
    EXPRESSIONS,
    MAX_POSE,
    FaceParameters,
    face_labels,
)
from hybridface.data.drawn_faces.pose import nose_tip
from hybridface.data.drawn_faces.render import DrawnFaces, draw_faces

__all__ = [
    "ACTION_UNITS",
    "EXPRESSIONS",
    "MAX_POSE",
    "DrawnFaces",
    "FaceParameters",
    "draw_faces",
    "face_labels",
    "nose_tip",
]
