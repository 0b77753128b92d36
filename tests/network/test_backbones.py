"""Backbones: what timm's networks give, and how their random weights start."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from hybridface.config import BackboneConfig
from hybridface.errors import HybridFaceError, UsageError
from hybridface.network.backbones import Backbone, check_backbone, zero_last_norms
from tiny_runs import BACKBONE


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


def test_imagenet_weights_stay_as_they_are() -> None:
    network = Backbone(
        BackboneConfig(name="tf_efficientnet_lite0", init="imagenet"), with_maps=False
    )
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool(norm.weight.any()) for norm in norms)


@pytest.mark.parametrize("part", [0.0, 0.5])
def test_paths_are_dropped_as_the_recipe_says(part: float) -> None:
    network = Backbone(BackboneConfig(name="test_convnext", drop_path=part), with_maps=False)
    images = torch.rand(4, 3, 32, 32)
    one, other = (network.train()(images).pooled for _ in range(2))
    assert torch.equal(one, other) == (part == 0)


def test_to_try_a_size_leaves_the_mode() -> None:
    network = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    for mode in (True, False):
        network.train(mode).shape(32)
        assert all(module.training == mode for module in network.modules())


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet", "test_mambaout", "test_vit", "test_convnext",
        "deit_tiny_distilled_patch16_224",  # two tokens of no place
        "cait_xxs24_224",  # says nothing of its one
    ],
)  # fmt: skip
def test_the_last_map_lies_as_timm_lays_it(name: str) -> None:
    network = Backbone(BackboneConfig(name=name), with_maps=True, size=32).eval()
    images = torch.rand(2, 3, 32, 32)
    features = network(images)
    maps = network.network.forward_intermediates(images, norm=True, intermediates_only=True)
    torch.testing.assert_close(features.final, maps[-1])
    assert all(finer.shape[-1] > features.final.shape[-1] for finer in features.maps)


VIT = "vit_tiny_patch16_224"


@pytest.mark.parametrize("name", [VIT, "swiftformer_xs", "efficientformerv2_s0"])
def test_what_is_made_for_one_size_is_made_for_that_of_the_data(name: str) -> None:
    network = Backbone(BackboneConfig(name=name), with_maps=False, size=64)
    shape = network.shape(64)
    assert (shape.size, shape.final_side) == (64, 4 if name == VIT else 2)


def test_weights_of_its_own_size_stay_where_it_is_asked_for() -> None:
    asked, plain = (
        Backbone(BackboneConfig(name=VIT), with_maps=False, size=s) for s in (224, None)
    )
    assert {name: value.shape for name, value in asked.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }


def test_options_are_timms() -> None:
    finer = BackboneConfig(name=VIT, options={"patch_size": 8})
    assert Backbone(finer, with_maps=False, size=64).shape(64).final_side == 8
    with pytest.raises(HybridFaceError, match=f"{VIT} cannot take pictures of 64 px"):
        Backbone(finer, with_maps=False).shape(64)


@pytest.mark.parametrize("name", [BACKBONE, VIT])
def test_options_that_timm_does_not_take_are_named(name: str) -> None:
    config = BackboneConfig(name=name, options={"patch_sise": 8})
    with pytest.raises(UsageError, match=rf"backbone\.options: {name} cannot .* 'patch_sise'"):
        check_backbone(config, [32])


@pytest.mark.parametrize("option", [{"patch_size": 0}, {"act_layer": "nosuch"}])
def test_whatever_timm_raises_at_an_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=rf"backbone\.options: {VIT} cannot be created"):
        check_backbone(BackboneConfig(name=VIT, options=option), [32])


@pytest.mark.parametrize("name", [BACKBONE, VIT])
def test_maps_that_are_not_pooled_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"does not pool its map: .*global_pool"):
        check_backbone(BackboneConfig(name=name, options={"global_pool": ""}), [32])


def test_networks_that_need_numbers_to_be_made_are_tried_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = timm.create_model

    def older(*arguments: Any, **options: Any) -> Any:  # as in timm 1.0.12
        torch.linspace(0, 1, 2)[1].item()
        torch.rand(1)
        return create(*arguments, **options)

    monkeypatch.setattr("timm.create_model", older)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check_backbone(BackboneConfig(name=VIT), [64])
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(UsageError, match="cannot take pictures of 48 px"):
        check_backbone(BackboneConfig(name=VIT), [64, 48])


def test_sizes_that_do_not_fit_are_refused_before_any_picture() -> None:
    check_backbone(BackboneConfig(name=VIT), [64])
    with pytest.raises(HybridFaceError, match=r"48 px: .*64.*view_size of a task"):
        check_backbone(BackboneConfig(name=VIT), [64, 48])
    anyhow = BackboneConfig(name=VIT, options={"dynamic_img_size": True})
    check_backbone(anyhow, [64, 48])


@pytest.mark.parametrize("name", ["dla46x_c", "hrnet_w18_small"])
def test_what_is_made_for_many_sizes_is_tried_too(name: str) -> None:
    """timm says of none that it is made for one size, but they take multiples of 32."""
    with pytest.raises(UsageError, match=f"{name} cannot take pictures of 48 px"):
        check_backbone(BackboneConfig(name=name), [64, 48])


def test_weights_that_timm_does_not_have_are_refused_before_any_picture() -> None:
    with pytest.raises(UsageError, match=r"backbone\.init: timm has no .* of efficientnet_b6"):
        check_backbone(BackboneConfig(name="efficientnet_b6", init="imagenet"), [64])
    check_backbone(BackboneConfig(name="test_resnet", init="imagenet"), [64])


def test_weights_of_an_unknown_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"weights of timm's resnet18 'a1_in1': .* 'a1_in1k'"):
        check_backbone(BackboneConfig(name="resnet18.a1_in1"), [64])
    with pytest.raises(UsageError, match=r"weights of timm's efficientnet_b6 'x': known are: none"):
        check_backbone(BackboneConfig(name="efficientnet_b6.x"), [64])


def test_features_that_are_no_map_are_refused() -> None:
    with pytest.raises(HybridFaceError, match="its features are a list, not one map"):
        check_backbone(BackboneConfig(name="coat_tiny"), [128])


def test_to_try_a_size_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check_backbone(BackboneConfig(name=VIT), [64])
    assert torch.equal(torch.rand(3), expected)


def test_learned_positions_do_not_decay() -> None:
    network = Backbone(BackboneConfig(name=VIT), with_maps=False, size=32)
    said = network.without_weight_decay()
    assert {"network.pos_embed", "network.cls_token"} <= said
    assert said & {name for name, _ in network.named_parameters()}
    assert Backbone(BackboneConfig(name=BACKBONE), with_maps=False).without_weight_decay() == set()
