"""In-painting: parts of the picture are blanked, a light decoder fills them in.

The loss compares pixels, and, where the recipe says so, what a frozen ImageNet network sees. The
masks, decoder, perceptual network and weights of arXiv:2105.06421 were never published; those here
are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Generator, Tensor, nn

from hybridface import draws
from hybridface.config import Section
from hybridface.data.batches import Batch
from hybridface.data.source import Labels
from hybridface.errors import UsageError
from hybridface.network.perceptual import PerceptualDistance
from hybridface.tasks.base import (
    FeatureShape,
    Mean,
    SelfSupervisedConfig,
    Task,
    View,
    masked_mean,
    sum_of_means,
)
from hybridface.tasks.decoder import PictureDecoder

BLANK = 0.5


class PerceptualConfig(Section):
    """How a frozen network compares the filled picture with the true one.

    Attributes:
        network: A timm network with ImageNet weights; those of ``tf_efficientnet_lite0`` and
            ``tf_efficientnet_lite1`` come with the extra ``imagenet``, all others need a network
            connection or timm's cache.
        size: Smallest side in pixels at which it sees the pictures; smaller ones are enlarged.
        depths: Which of its maps count, 0 for the finest.
        every: One of so many pictures of a step is compared, from the first on: 4 for every
            fourth; of several processes, each starts with the first of its own. The network sees
            many times the pixels that the backbone sees, so it costs more than all the rest.
    """

    network: str = "tf_efficientnet_lite0"
    size: int = Field(112, ge=112)
    depths: tuple[int, ...] = Field((1, 2, 3), min_length=1)
    every: int = Field(1, ge=1)

    @field_validator("depths")
    @classmethod
    def _none_below_zero(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if min(depths) < 0:
            raise ValueError("expected numbers from 0")
        return depths


class InpaintConfig(SelfSupervisedConfig):
    """Options of ``inpaint``.

    Attributes:
        holes: Rectangles that are blanked in each picture.
        hole_side: Smallest and largest side of a hole, as a part of the picture's side.
        hole_weight: Weight of the mean error inside the holes.
        rest_weight: Weight of the mean error outside.
        perceptual_weight: Weight of the perceptual distance of the true picture from the same with
            its holes filled; 0 for pixels alone.
        perceptual: How that distance is taken.
        error: ``l1`` or ``l2`` distance of pixels in [0, 1].
        decoder_channels: Width of the decoder.
        intermediate_maps: Whether the decoder reads the backbone's finer maps; without, all it
            knows comes through the last map.
        output_stride: 1 for a decoder that goes on to every pixel; 2 or 4 for one that ends at a
            half or a quarter of the side and gives each place that many pixels squared (sub-pixel
            convolution, Shi et al. 2016, arXiv:1609.05158), for a part of the cost.
    """

    holes: int = Field(2, ge=1, le=64)
    hole_side: tuple[float, float] = (0.25, 0.5)
    hole_weight: float = Field(1.0, ge=0)
    rest_weight: float = Field(0.1, ge=0)
    perceptual_weight: float = Field(0.0, ge=0)
    perceptual: PerceptualConfig = PerceptualConfig()
    error: Literal["l1", "l2"] = "l1"
    decoder_channels: int = Field(32, ge=4)
    intermediate_maps: bool = True
    output_stride: Literal[1, 2, 4] = 1

    @field_validator("hole_side")
    @classmethod
    def _sides_in_order(cls, sides: tuple[float, float]) -> tuple[float, float]:
        if not 0 < sides[0] <= sides[1] <= 1:
            raise ValueError("expected the smallest and the largest side, above 0 and up to 1")
        return sides


def random_holes(
    count: int, size: int, holes: int, side: tuple[float, float], generator: Generator
) -> Tensor:
    """Return masks of random rectangles.

    Args:
        count: How many pictures.
        size: Side of the pictures in pixels.
        holes: Rectangles a picture; they may overlap, and lie whole inside the picture.
        side: Smallest and largest side of a rectangle, as a part of ``size``.
        generator: Source of every random number.

    Returns:
        ``(count, 1, size, size)`` bool, True inside a hole.
    """
    draw = draws.rand(4, count, holes, 1, generator=generator, pictures=1)
    sides = side[0] + (side[1] - side[0]) * draw[:2]
    starts = draw[2:] * (1 - sides)
    place = (torch.arange(size, device=generator.device) + 0.5) / size
    within = (place >= starts) & (place < starts + sides)
    return (within[0].unsqueeze(-1) & within[1].unsqueeze(-2)).any(1).unsqueeze(1)


class Inpaint(Task):
    """Fill in blanked rectangles; pixel error in the holes and outside, weighted apart.

    The perceptual distance (Johnson et al. 2016, arXiv:1603.08155) is added where its weight is
    not 0.
    """

    type_name = "inpaint"
    summary = "in-painting of random holes, pixel and perceptual loss (arXiv:2105.06421)"
    reads_maps = True
    Config = InpaintConfig
    _distance: Tensor | None = None  # of the loss that was taken last

    @cached_property
    def perceptual_distance(self) -> PerceptualDistance:
        """The frozen network; no part of the model, so it is neither trained, saved nor exported.

        Raises:
            HybridFaceError: Its weights cannot be had.
            UsageError: It has no such depths.
        """
        options = self.config.perceptual
        with torch.random.fork_rng(devices=[]):  # else what a step draws depends on when that is
            return PerceptualDistance(options.network, options.size, options.depths)

    def adopt(self, labels: Labels | None, train_ids: Tensor | None, size: int) -> None:
        """Get the frozen network where it is needed, before anything is read or written.

        Raises:
            HybridFaceError: See :attr:`perceptual_distance`.
        """
        if self.config.perceptual_weight:
            _ = self.perceptual_distance

    def restore(self, said: Mapping[str, Any], size: int) -> None:
        """Do nothing: the frozen network is for training alone."""

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the decoder.

        Raises:
            UsageError: The pictures' side is no multiple of ``output_stride``.
        """
        config = self.config
        maps = config.intermediate_maps
        try:
            return PictureDecoder(shape, config.decoder_channels, config.output_stride, maps=maps)
        except ValueError as error:
            raise UsageError(f"task {self.name}: output_stride: {error}") from error

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Blank random holes; the target is the true picture and the mask of the holes."""
        config = self.config
        holes = random_holes(
            len(images), images.shape[-1], config.holes, config.hole_side, generator
        ).to(images.device)
        return View(images.masked_fill(holes, BLANK), (images, holes))

    def loss(self, output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """Return the weighted errors: per pixel and channel in the holes, outside, perceptual."""
        return sum_of_means(self._means(output, target))

    def means(self, output: Tensor, target: tuple[Tensor, Tensor], batch: Batch) -> list[Mean]:
        """Return the errors in the holes, outside, and of the perceptual distance."""
        return self._means(output, target)

    def _means(self, output: Tensor, target: tuple[Tensor, Tensor]) -> list[Mean]:
        truth, holes = target
        error = (output - truth).abs() if self.config.error == "l1" else (output - truth) ** 2
        error = error.mean(1, keepdim=True)
        means = [
            Mean(masked_mean(error, counted), counted.sum(), factor)
            for counted, factor in (
                (holes, self.config.hole_weight),
                (~holes, self.config.rest_weight),
            )
        ]
        if self.config.perceptual_weight:
            compared = slice(None, None, self.config.perceptual.every)
            filled = torch.where(holes, output, truth)[compared]
            network = self.perceptual_distance
            if network.mean.device != output.device:
                network.to(output.device)
            distance = network(filled, truth[compared])
            self._distance = distance.detach().mean()
            weight = output.new_full((), len(distance))
            means.append(Mean(distance.mean(), weight, self.config.perceptual_weight))
        return means

    @torch.no_grad()
    def measure(self, output: Tensor, target: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return the peak signal-to-noise ratio inside the holes, in dB, and what is had for less.

        ``mean_fill_psnr`` is that of holes filled with the mean colour of the rest of the picture;
        the perceptual distance is given where the loss has taken it.
        """
        truth, holes = target
        seen = (~holes).to(truth.dtype)
        count = seen.sum((2, 3), keepdim=True).clamp(min=1)
        mean = (truth * seen).sum((2, 3), keepdim=True) / count
        figures = {
            name: -10 * torch.log10(_error(filled, truth, holes).clamp(min=1e-10))
            for name, filled in (("hole_psnr", output), ("mean_fill_psnr", mean))
        }
        if self._distance is not None:
            figures["perceptual_distance"] = self._distance
        return figures

    def describe(self) -> dict[str, Any]:
        """Return how holes are made: their value in [0, 1], number, and sides as parts."""
        config = self.config
        return {
            "kind": "inpaint",
            "blank": BLANK,
            "holes": config.holes,
            "hole_side": list(config.hole_side),
        }

    def picture(self, images: Tensor, view: View, output: Tensor) -> dict[str, Tensor]:
        """Return the picture, the picture with holes, and the fill."""
        truth, holes = view.target
        dealt = truth if view.images is None else view.images
        return {"intact": truth, "dealt": dealt, "answered": torch.where(holes, output, truth)}


def _error(filled: Tensor, truth: Tensor, holes: Tensor) -> Tensor:
    return masked_mean(((filled - truth) ** 2).mean(1, keepdim=True), holes)
