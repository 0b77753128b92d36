"""Backbones: how their random weights start."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from hybridface.config import BackboneConfig
from hybridface.network.backbones import Backbone, zero_last_norms


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "mobilenetv3_small_100", "mobilenetv4_conv_small"]
)
def test_residual_blocks_start_as_the_identity(name: str) -> None:
    network = timm.create_model(name, num_classes=0).train()
    count = zero_last_norms(network)
    skipping = [
        block
        for block in network.modules()
        if getattr(block, "has_skip", False) and "Residual" in type(block).__name__
    ]
    assert count == len(skipping) > 0
    differences: list[float] = []
    for block in skipping:
        block.register_forward_hook(
            lambda _, inputs, output: differences.append(
                float((output - inputs[0]).detach().abs().max())
            )
        )
    network(torch.rand(4, 3, 64, 64))
    assert differences == [0.0] * count


def test_every_weight_still_learns() -> None:
    """A zero scale stops the gradient of what stands before it, but not its own."""
    torch.manual_seed(0)
    network = Backbone(BackboneConfig(name="mobilenetv3_small_100"), with_maps=False).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images = torch.rand(8, 3, 48, 48)
    for _ in range(2):
        optimizer.zero_grad()
        network(images).pooled.square().mean().backward()
        optimizer.step()
    grads = [parameter.grad for parameter in network.parameters()]
    assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in grads)


def test_it_can_be_left_out() -> None:
    network = Backbone(
        BackboneConfig(name="mobilenetv3_small_100", zero_init_residual=False), with_maps=False
    )
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all()) for norm in norms)
