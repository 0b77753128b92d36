"""Colour planes over the visible samples of a few faces, and small regions cut out of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, clip01
from hybridface.data.drawn_faces.looks import Colour


@dataclass(frozen=True)
class Pack:
    """The chosen elements of an (F, N) mask, each face's padded to one length P.

    Attributes:
        flat: (F, P) places in the flattened mask; the last chosen one is repeated as padding.
        real: (F, P) False for padding.
        chosen: Places in the flattened mask of all that is not padding.
    """

    flat: NDArray[np.int64]
    real: NDArray[np.bool_]
    chosen: NDArray[np.int64]

    @staticmethod
    def of(mask: Array) -> "Pack":
        """Return the pack of a mask (F, N)."""
        chosen = np.flatnonzero(mask)
        counts = np.count_nonzero(mask, axis=1)
        first = np.cumsum(counts) - counts
        ranks = np.arange(max(int(counts.max(initial=0)), 1))[None]
        places = first[:, None] + np.minimum(ranks, np.maximum(counts - 1, 0)[:, None])
        padded = np.append(chosen, 0)
        flat = padded[np.minimum(places, len(chosen))]
        return Pack(flat, ranks < counts[:, None], chosen)

    def gather(self, plane: Array) -> Array:
        """Return the chosen elements (F, P) of a plane (F, N)."""
        return np.take(plane.ravel(), self.flat)

    def scatter(self, values: Array, plane: Array) -> None:
        """Write values (F, P) to their places in a plane (F, N)."""
        plane.ravel()[self.chosen] = np.compress(self.real.ravel(), values)


@dataclass
class Canvas:
    """Surface colours of visible samples, painted in layers.

    Attributes:
        x, y, z: Where on the face each sample is, (F, P) each.
        across: Distance from the middle of the face, abs(x), (F, P).
        red, green, blue: Colour so far, (F, P) each.
        gloss: How shiny the surface is, (F, P).
        sharp: (F, 1) samples a unit of length, for soft edges one sample wide.
    """

    x: Array
    y: Array
    z: Array
    red: Array
    green: Array
    blue: Array
    gloss: Array
    sharp: Array

    def __post_init__(self) -> None:
        """Take the distance from x."""
        self.across = np.abs(self.x)

    def cover(self, inside: Array) -> Array:
        """Return how much of a sample lies inside, from its distance to the edge in units."""
        return clip01(inside * self.sharp + 0.5)

    def line(self, distance: Array, width: float | Array) -> Array:
        """Return how much a soft line of half that width covers samples at that distance."""
        return clip01((width - np.abs(distance)) * self.sharp + 0.5)

    def over(self, alpha: Array, colour: Colour | tuple[float, float, float]) -> None:
        """Paint a colour over what is there."""
        self.red = self.red + alpha * (colour[0] - self.red)
        self.green = self.green + alpha * (colour[1] - self.green)
        self.blue = self.blue + alpha * (colour[2] - self.blue)

    def darken(self, amount: Array) -> None:
        """Darken by an amount from 0 to 1, reddish as shaded skin is."""
        self.red = self.red * (1.0 - 0.85 * amount)
        keep = 1.0 - amount
        self.green = self.green * keep
        self.blue = self.blue * keep

    def cut(self, pack: Pack) -> "Canvas":
        """Return the packed region as a canvas of its own."""
        return Canvas(
            x=pack.gather(self.x),
            y=pack.gather(self.y),
            z=pack.gather(self.z),
            red=pack.gather(self.red),
            green=pack.gather(self.green),
            blue=pack.gather(self.blue),
            gloss=pack.gather(self.gloss),
            sharp=self.sharp,
        )

    def paste(self, pack: Pack, region: "Canvas") -> None:
        """Put the colours and gloss of a region back."""
        pack.scatter(region.red, self.red)
        pack.scatter(region.green, self.green)
        pack.scatter(region.blue, self.blue)
        pack.scatter(region.gloss, self.gloss)
