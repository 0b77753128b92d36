"""What a backbone gives to the heads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """What the backbone made of a batch.

    Attributes:
        pooled: ``(B, C)``.
        final: ``(B, C, h, w)`` last feature map.
        maps: Intermediate maps from fine to coarse, ``(B, C_i, h_i, w_i)``; empty where no task
            reads them.
    """

    pooled: Tensor
    final: Tensor
    maps: tuple[Tensor, ...] = ()

    def rows(self, start: int, stop: int) -> Features:
        """Return the features of some of the pictures."""
        part = slice(start, stop)
        return Features(self.pooled[part], self.final[part], tuple(m[part] for m in self.maps))


@dataclass(frozen=True)
class FeatureShape:
    """Sizes of :class:`Features`, for building heads.

    Attributes:
        pooled: Channels of the pooled features.
        final: Channels of the last map.
        maps: Channels of each intermediate map.
        size: Side of the picture in pixels.
        final_side: Side of the last map, in places.
        map_sides: Side of each intermediate map, in places.
    """

    pooled: int
    final: int
    maps: tuple[int, ...]
    size: int
    final_side: int
    map_sides: tuple[int, ...]
