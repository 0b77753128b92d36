from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, nn

from hybridface.errors import HybridFaceError, UsageError
from hybridface.network.model import HybridStep
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Features, FeatureShape, View
from hybridface.tasks.decoder import PictureDecoder
from hybridface.tasks.inpaint import BLANK, Inpaint, random_holes
from hybridface.training.train import train
from tiny_runs import labelled_batch, tiny_model, tiny_recipe

SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: tuple(sorted(pair)))


def inpaint(**options: Any) -> Inpaint:
    (task,) = build_tasks({"inpaint": options})
    assert isinstance(task, Inpaint)
    return task


@given(st.integers(1, 5), st.integers(16, 70), SIDES, SEEDS)
def test_one_hole_is_a_rectangle_of_the_sides_asked_for(
    count: int, size: int, sides: tuple[float, float], seed: int
) -> None:
    masks = random_holes(count, size, 1, sides, Generator().manual_seed(seed))
    assert masks.shape == (count, 1, size, size)
    assert masks.dtype == torch.bool
    for mask in masks[:, 0].numpy():
        rows, columns = mask.any(1), mask.any(0)
        np.testing.assert_array_equal(mask, np.outer(rows, columns))
        for line in (rows, columns):
            # A pixel belongs to a hole when its middle does, so a side is right to a pixel.
            assert sides[0] * size - 1 <= line.sum() <= sides[1] * size + 1
            assert np.abs(np.diff(line.astype(int))).sum() <= 2


def test_holes_reach_every_place_and_every_side() -> None:
    masks = random_holes(4000, 40, 1, (0.1, 0.5), Generator().manual_seed(0))
    seen = masks.float().mean((0, 1))
    assert seen.min() > 0
    torch.testing.assert_close(seen, seen.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(seen, seen.T, atol=0.04, rtol=0)
    tall = masks.any(3).sum(2).float() / 40
    assert tall.min() < 0.13
    assert tall.max() > 0.47
    assert tall.mean().item() == pytest.approx(0.3, abs=0.01)


@given(st.integers(2, 8), SEEDS)
def test_more_holes_are_the_union(holes: int, seed: int) -> None:
    mask = random_holes(3, 32, holes, (0.2, 0.3), Generator().manual_seed(seed)).float().mean()
    assert 0.03 < mask <= holes * 0.3**2 * 1.25


@given(st.sampled_from(["l1", "l2"]), st.floats(0, 5), st.floats(0, 5), SEEDS)
def test_loss_is_what_a_slow_sum_gives(
    error: str, hole_weight: float, rest_weight: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    output, truth = random.random((2, 3, 3, 5, 5))
    holes = random.random((3, 1, 5, 5)) < 0.3
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for b, y, x in np.ndindex(3, 5, 5):
        inside = bool(holes[b, 0, y, x])
        for c in range(3):
            apart = abs(output[b, c, y, x] - truth[b, c, y, x])
            sums[inside] += apart if error == "l1" else apart**2
            counts[inside] += 1
    mean = {inside: sums[inside] / max(counts[inside], 1) for inside in sums}
    task = inpaint(error=error, hole_weight=hole_weight, rest_weight=rest_weight)
    loss = task.loss(
        torch.from_numpy(output), (torch.from_numpy(truth), torch.from_numpy(holes))
    ).item()
    assert loss == pytest.approx(hole_weight * mean[True] + rest_weight * mean[False], rel=1e-6)


def test_hole_psnr_looks_at_the_holes_alone() -> None:
    truth = torch.full((2, 3, 8, 8), 0.5)
    holes = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    holes[:, :, :4] = True
    output = torch.where(holes, truth + 0.1, torch.rand(2, 3, 8, 8))
    assert inpaint().measure(output, (truth, holes))["hole_psnr"].item() == pytest.approx(
        20, abs=1e-4
    )
    assert math.isfinite(inpaint().measure(truth, (truth, holes))["hole_psnr"])


def test_a_fill_by_the_mean_colour_of_the_rest_is_measured_too() -> None:
    truth = torch.rand(2, 3, 8, 8, generator=Generator().manual_seed(0))
    holes = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    holes[0, :, :4], holes[1, :, 2:5, 2:5] = True, True
    errors = []
    for picture, hole in zip(truth, holes[:, 0], strict=True):
        mean = picture[:, ~hole].mean(1, keepdim=True)
        errors.append((picture[:, hole] - mean) ** 2)
    expected = -10 * math.log10(torch.cat(errors, 1).mean().item())
    figures = inpaint().measure(truth, (truth, holes))
    assert figures["mean_fill_psnr"].item() == pytest.approx(expected, abs=1e-4)
    assert "perceptual_distance" not in figures
    everywhere = torch.ones_like(holes)  # no rest is left
    assert inpaint().measure(truth, (truth, everywhere))["mean_fill_psnr"].isfinite()


def test_the_view_is_blank_in_the_holes_and_true_elsewhere() -> None:
    batch = labelled_batch()
    images = batch.images.float() / 255
    view = inpaint().make_view(images, batch, Generator().manual_seed(0))
    truth, holes = view.target
    assert view.images is not None
    assert torch.equal(truth, images)
    assert torch.equal(view.images, torch.where(holes, torch.tensor(BLANK), images))
    shared = View(view.images, view.target)
    shown = inpaint().picture(images, shared, torch.ones_like(images))
    assert torch.equal(shown["answered"], torch.where(holes, torch.tensor(1.0), images))
    assert torch.equal(shown["dealt"], view.images)


@pytest.mark.parametrize("intermediate", [True, False])
@pytest.mark.parametrize(("size", "stride"), [(32, 1), (50, 1), (32, 2), (32, 4), (36, 4)])
def test_the_decoder_gives_pictures(intermediate: bool, size: int, stride: int) -> None:
    options = {
        "inpaint": {
            "intermediate_maps": intermediate, "decoder_channels": 8, "output_stride": stride,
        }
    }  # fmt: skip
    model, _ = tiny_model(options, size)
    images = (labelled_batch(4, size).images.float() / 255).requires_grad_()
    filled = model(images)["inpaint"]
    assert filled.shape == (4, 3, size, size)
    assert filled.min() >= 0
    assert filled.max() <= 1
    filled.mean().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_stride_that_does_not_divide_the_side_is_refused() -> None:
    with pytest.raises(UsageError, match=r"inpaint: output_stride: .* divides the side of 50 px"):
        tiny_model({"inpaint": {"output_stride": 4}}, 50)


def test_each_place_gives_its_own_pixels() -> None:
    """A decoder of stride 4 gives what its last map says of each block of 4x4 pixels."""
    model, _ = tiny_model({"inpaint": {"output_stride": 4, "decoder_channels": 8}})
    decoder = model.heads["inpaint"]
    images = labelled_batch(2).images.float() / 255
    last = {}
    decoder.out.register_forward_hook(lambda *given: last.update(map=given[2]))
    filled = model.eval()(images)["inpaint"]
    assert last["map"].shape == (2, 48, 8, 8)
    for channel, row, column in ((0, 0, 0), (1, 2, 3), (2, 3, 1)):
        place = torch.sigmoid(last["map"][:, channel * 16 + row * 4 + column])
        assert torch.equal(filled[:, channel, row::4, column::4], place)


@pytest.mark.parametrize("intermediate", [True, False])
def test_the_decoder_reads_finer_maps_only_when_asked(intermediate: bool) -> None:
    model, _ = tiny_model({"inpaint": {"intermediate_maps": intermediate}})
    features = model.eval().features(labelled_batch(2).images.float() / 255)
    assert features.maps
    changed = type(features)(
        features.pooled, features.final, tuple(torch.zeros_like(m) for m in features.maps)
    )
    head = model.heads["inpaint"]
    assert torch.equal(head(features), head(changed)) != intermediate


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_decoder_reads_no_maps_finer_than_its_own_last_one(stride: int) -> None:
    shape = FeatureShape(5, 5, (2, 3, 4), 32, 2, (16, 8, 4))
    head = PictureDecoder(shape, 4, stride).eval()
    sizes = zip(shape.maps, shape.map_sides, strict=True)
    maps = [torch.rand(1, width, side, side) for width, side in sizes]
    final = torch.rand(1, 5, 2, 2)
    whole = head(Features(torch.zeros(1, 5), final, tuple(maps)))
    assert whole.shape == (1, 3, 32, 32)
    for number, side in enumerate(shape.map_sides):
        changed = tuple(m + (place == number) for place, m in enumerate(maps))
        seen = not torch.equal(head(Features(torch.zeros(1, 5), final, changed)), whole)
        assert seen == (side <= 32 // stride)


def test_a_decoder_goes_on_from_maps_coarser_than_its_own_last_one() -> None:
    head = PictureDecoder(FeatureShape(5, 5, (4,), 32, 2, (4,)), 4, 2)
    features = Features(torch.zeros(1, 5), torch.rand(1, 5, 2, 2), (torch.rand(1, 4, 4, 4),))
    assert head.eval()(features).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("stride", [1, 4])
def test_a_decoder_learns_one_picture(stride: int) -> None:
    model, (task,) = tiny_model({"inpaint": {"decoder_channels": 16, "output_stride": stride}})
    batch = labelled_batch(2)
    images = batch.images.float() / 255
    view = task.make_view(images, batch, Generator().manual_seed(0))
    assert view.images is not None
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = task.loss(model(view.images)["inpaint"], view.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < losses[0] / 2


@pytest.mark.parametrize(
    "options",
    [{"hole_side": [0.5, 0.25]}, {"hole_side": [0, 0.5]}, {"hole_side": [0.5, 1.5]}, {"holes": 0}],
)
def test_holes_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"tasks\.inpaint: hole"):
        build_tasks({"inpaint": options})


@pytest.fixture(scope="module")
def filled_pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return outputs, true pictures and holes."""
    random = Generator().manual_seed(3)
    output, truth = torch.rand(2, 3, 3, 48, 48, generator=random)
    return output, truth, random_holes(3, 48, 2, (0.3, 0.5), random)


def test_the_perceptual_distance_is_added_with_its_weight(
    filled_pictures: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    output, truth, holes = filled_pictures
    task = inpaint(perceptual_weight=0.25)
    distance = task.perceptual_distance(torch.where(holes, output, truth), truth).mean()
    expected = inpaint().loss(output, (truth, holes)) + 0.25 * distance
    torch.testing.assert_close(task.loss(output, (truth, holes)), expected)
    figures = task.measure(output, (truth, holes))
    torch.testing.assert_close(figures["perceptual_distance"], distance)


def test_the_perceptual_distance_of_every_other_picture(
    filled_pictures: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    output, truth, holes = filled_pictures
    task = inpaint(hole_weight=0, rest_weight=0, perceptual_weight=1, perceptual={"every": 2})
    each = task.perceptual_distance(torch.where(holes, output, truth), truth)
    torch.testing.assert_close(task.loss(output, (truth, holes)), (each[0] + each[2]) / 2)
    assert task.means(output, (truth, holes), labelled_batch(3))[-1].weight == 2


def test_the_perceptual_distance_is_of_the_fill_alone(
    filled_pictures: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    output, truth, holes = filled_pictures
    task = inpaint(hole_weight=0, rest_weight=0, perceptual_weight=1)
    output = output.clone().requires_grad_()
    task.loss(output, (truth, holes)).backward()
    assert output.grad is not None
    inside = holes.expand_as(output)
    assert bool((output.grad[~inside] == 0).all())
    assert bool((output.grad[inside] != 0).any())


def test_the_frozen_network_is_the_one_asked_for() -> None:
    task = inpaint(perceptual_weight=1, perceptual={"size": 128, "depths": [0, 2]})
    assert (task.perceptual_distance.size, task.perceptual_distance.depths) == (128, [0, 2])


def test_the_frozen_network_is_no_part_of_the_model() -> None:
    model, (task,) = tiny_model({"inpaint": {"perceptual_weight": 1.0}}, 48)
    before = sum(parameter.numel() for parameter in model.parameters())
    batch = labelled_batch(size=48)
    images = batch.images.float() / 255
    view = task.make_view(images, batch, Generator().manual_seed(0))
    task.loss(model.heads["inpaint"](model.features(view.images)), view.target).backward()
    assert sum(parameter.numel() for parameter in model.parameters()) == before
    assert all(parameter.grad is not None for parameter in model.heads["inpaint"].parameters())


def test_when_the_frozen_network_is_loaded_changes_nothing_that_is_drawn() -> None:
    """Else a run that is gone on with would be another one: there it is loaded at a later step."""
    options: dict[str, Any] = {"inpaint": {"perceptual_weight": 1.0}, "expression": {}}
    model, tasks = tiny_model(options, 48)
    late, loaded = build_tasks(options)[0], inpaint(**options["inpaint"])
    assert isinstance(loaded.perceptual_distance, nn.Module)
    batch = labelled_batch(size=48)
    losses = []
    for first in (late, loaded):
        step = HybridStep(model.train(), [first, tasks[1]])
        torch.manual_seed(0)
        images = batch.images.float() / 255
        losses.append(step(images, batch, Generator().manual_seed(0))[1]["expression/loss"])
    assert losses[0] == losses[1]


def test_a_frozen_network_that_cannot_be_had_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model

    def missing(*names: Any, pretrained: bool = False, **options: Any) -> nn.Module:
        if pretrained:
            raise OSError("no network")
        return create(*names, **options)

    monkeypatch.setattr("timm.create_model", missing)
    tasks = {"inpaint": {"perceptual_weight": 1.0, "perceptual": {"network": "resnet18"}}}
    recipe = tiny_recipe(tmp_path / "run", data={"source": "folder:/nowhere"}, tasks=tasks)
    with pytest.raises(HybridFaceError, match="ImageNet weights of resnet18 cannot be had"):
        train(recipe)
    (task,) = build_tasks({"inpaint": tasks["inpaint"]})
    task.restore(task.describe(), 48)  # as for an export, which does without


@pytest.mark.parametrize(("options", "said"), [({"size": 64}, "112"), ({"depths": [-1]}, "from 0")])
def test_wrong_perceptual_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        inpaint(perceptual=options)
