"""Convolutions of small maps, trained faster on a CPU: the same sums by other kernels.

At 48 to 64 px the maps of an EfficientNet soon are 3x3 and 2x2. There oneDNN spends most of its
time on overhead: in its backward pass of a 5x5 depthwise convolution of a 2x2 map, and in the 1x1
convolutions of the 1x1 maps of squeeze-and-excitation blocks. ``benchmarks/convolutions.py``
measures what a whole step gains. One more kind of convolution goes round a defect of oneDNN.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VECTOR = 16
ALWAYS_FASTER = 36
FASTER_FOR_WIDE_KERNELS = 81


class PointwiseConvolution(nn.Conv2d):
    """A 1x1 convolution that is a matrix product while it trains on 1x1 maps on a CPU.

    On larger maps oneDNN is faster, much so where the matrix library takes no AVX-512 (AMD).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution ``(B, C', H, W)`` of ``(B, C, H, W)``."""
        larger = input.shape[2:].numel() > 1
        if not self.training or input.device.type != "cpu" or larger:
            return super().forward(input)
        output = F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return output.permute(0, 3, 1, 2)


class ThinningConvolution(nn.Conv2d):
    """A 1x1 convolution of few channels with a stride, on a CPU one of the places that it keeps.

    oneDNN's gradient of its weights writes past the end of memory where the input lies in
    ``channels_last`` and has fewer channels than a vector (uxlfoundation/oneDNN, issue 6035; seen
    with torch 2.14.1, where the first layers of MobileOne end in a crash).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution ``(B, C', H', W')`` of ``(B, C, H, W)``."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        rows, columns = self.stride
        return F.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias)


class DepthwiseConvolution(nn.Conv2d):
    """A depthwise convolution that multiplies place by place while it trains on small maps."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution ``(B, C, H', W')`` of ``(B, C, H, W)``."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        batch, channels, height, width = input.shape
        rows = (height + 2 * padding - kernel) // stride + 1
        columns = (width + 2 * padding - kernel) // stride + 1
        pairs = height * width * rows * columns
        limit = FASTER_FOR_WIDE_KERNELS if kernel > 3 else ALWAYS_FASTER
        if not self.training or input.device.type != "cpu" or pairs > limit:
            return super().forward(input)
        taps, within = _taps(kernel, stride, padding, (height, width), (rows, columns))
        weights = self.weight.view(channels, kernel * kernel).t().index_select(0, taps)
        weights = (weights * within).view(rows * columns, height * width, channels)
        places = input.permute(0, 2, 3, 1).reshape(batch, 1, height * width, channels)
        output = (places * weights).sum(2)
        if self.bias is not None:
            output = output + self.bias
        return output.view(batch, rows, columns, channels).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=256)
def _taps(
    kernel: int, stride: int, padding: int, places: tuple[int, int], outputs: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return which weight joins each output place to each input place, and whether one does.

    Returns:
        ``(outputs * places,)`` int64 indices into the kernel, and ``(outputs * places, 1)``
        float32 of 1 where the kernel reaches and 0 elsewhere.
    """
    row, column, input_row, input_column = torch.meshgrid(
        *(torch.arange(count) for count in (*outputs, *places)), indexing="ij"
    )
    tap_row = (input_row - row * stride + padding).flatten()
    tap_column = (input_column - column * stride + padding).flatten()
    within = (tap_row >= 0) & (tap_row < kernel) & (tap_column >= 0) & (tap_column < kernel)
    taps = torch.where(within, tap_row * kernel + tap_column, 0)
    return taps, within.float()[:, None]


def train_faster_on_cpu(network: nn.Module) -> nn.Module:
    """Let the convolutions of a network that can train faster on a CPU do so.

    Names and shapes of the weights stay, and so do the sums up to float error. In evaluation mode,
    in an export and on a GPU the convolutions are torch's own.

    Args:
        network: Changed in place.

    Returns:
        The network.
    """
    for module in network.modules():
        if type(module) is not nn.Conv2d or isinstance(module.padding, str):
            continue
        if _is_pointwise(module):
            if module.stride == (1, 1):
                module.__class__ = PointwiseConvolution
            elif module.in_channels < VECTOR:
                module.__class__ = ThinningConvolution
        elif _is_depthwise(module):
            module.__class__ = DepthwiseConvolution
    return network


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)


def _is_depthwise(layer: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    plain = layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return square and plain and layer.groups == layer.in_channels == layer.out_channels > 1
