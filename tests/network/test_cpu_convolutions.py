"""Convolutions trained faster on a CPU: the same sums as torch's own."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from hybridface.network.cpu_convolutions import (
    DepthwiseConvolution,
    PointwiseConvolution,
    train_faster_on_cpu,
)


def both(layer: nn.Conv2d, size: tuple[int, int]) -> None:
    """Compare outputs and gradients of a layer and of its faster twin."""
    fast = train_faster_on_cpu(copy.deepcopy(layer)).train()
    assert type(fast) is not nn.Conv2d
    images = torch.randn(3, layer.in_channels, *size).to(memory_format=torch.channels_last)
    results = []
    for module in (layer, fast):
        inputs = images.clone().requires_grad_()
        outputs = module(inputs)
        probe = torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)
        (outputs * probe).sum().backward()
        results.append((outputs, inputs.grad, *(p.grad for p in module.parameters())))
    assert results[0][0].shape == results[1][0].shape
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (3, 2), (1, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_depthwise_equals_the_convolution(
    kernel: int, stride: int, size: tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=bias)
    both(layer, size)


def test_depthwise_without_padding_equals_the_convolution() -> None:
    torch.manual_seed(0)
    both(nn.Conv2d(4, 4, 3, groups=4), (4, 3))


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_equals_the_convolution(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    both(nn.Conv2d(5, 7, 1, bias=bias), size)


@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_thinning_equals_the_convolution(
    stride: int | tuple[int, int], size: tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    both(nn.Conv2d(3, 7, 1, stride=stride, bias=bias), size)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, (3, 5), padding=(1, 2), groups=4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4),
        nn.Conv2d(4, 4, 3, padding="same", groups=4),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(16, 4, 1, stride=2),
        nn.Conv2d(3, 4, 3),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Conv2d) -> None:
    assert type(train_faster_on_cpu(copy.deepcopy(layer))) is nn.Conv2d


def test_a_network_keeps_its_weights_names_and_sums() -> None:
    torch.manual_seed(0)
    network = timm.create_model("efficientnet_b0", num_classes=0)
    fast = train_faster_on_cpu(copy.deepcopy(network))
    kinds = {type(module) for module in fast.modules()}
    assert {PointwiseConvolution, DepthwiseConvolution} <= kinds
    assert network.state_dict().keys() == fast.state_dict().keys()
    images = torch.rand(4, 3, 48, 48).to(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(images), network(images), rtol=1e-3, atol=1e-4)
    fast.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(fast.eval()(images), network.eval()(images))


def test_padding_that_is_worked_out_is_left_alone() -> None:
    network = train_faster_on_cpu(timm.create_model("tf_efficientnet_lite0", num_classes=0))
    assert not any(
        type(module) is DepthwiseConvolution and module.stride == (2, 2)
        for module in network.modules()
    )
