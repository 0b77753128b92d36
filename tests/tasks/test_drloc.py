from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, nn

from hybridface.errors import UsageError
from hybridface.network.views import passes_a_picture
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Features
from hybridface.tasks.drloc import Drloc, DrlocHead
from tiny_runs import labelled_batch, tiny_model


def drloc(size: int = 48, **options: object) -> tuple[nn.Module, Drloc]:
    model, (task,) = tiny_model({"drloc": options}, size)
    assert isinstance(task, Drloc)
    return model, task


@pytest.mark.parametrize(("size", "side"), [(32, 8), (48, 6), (64, 8), (96, 6)])
def test_the_coarsest_map_that_is_fine_enough_is_read(size: int, side: int) -> None:
    _, task = drloc(size)
    assert task.side == side


def test_a_size_without_such_a_map_is_refused() -> None:
    with pytest.raises(UsageError, match=r"task drloc: no map .* 40 places .* data\.size 32"):
        drloc(32, least_side=40)


def test_loss_and_figures_are_what_a_slow_sum_gives() -> None:
    _, task = drloc(pairs=5)
    batch = labelled_batch(size=48)
    places = task.make_view(batch.images.float(), batch, Generator().manual_seed(0)).target
    assert places.shape == (6, 5, 2)
    output = torch.rand(6, 5, 2)
    errors = []
    for picture, pair in np.ndindex(6, 5):
        one, other = (divmod(int(place), 6) for place in places[picture, pair])
        true = [abs(one[axis] - other[axis]) / 6 for axis in (0, 1)]
        errors.append([abs(true[axis] - float(output[picture, pair, axis])) for axis in (0, 1)])
    assert task.loss(output, places).item() == pytest.approx(np.sum(errors) / 30)
    assert task.measure(output, places)["places_off"].item() == pytest.approx(np.mean(errors) * 6)


def test_every_place_is_drawn() -> None:
    _, task = drloc(pairs=200)
    batch = labelled_batch(size=48)
    places = task.make_view(batch.images.float(), batch, Generator().manual_seed(0)).target
    assert set(places.unique().tolist()) == set(range(36))


def test_the_head_sees_the_features_of_the_two_places() -> None:
    head = DrlocHead(3, 0, 4)
    head.compare = nn.Identity()  # type: ignore[assignment]
    chosen = torch.rand(2, 3, 6, 6)
    features = Features(torch.zeros(2, 3), torch.zeros(2, 3, 2, 2), (chosen,))
    both = head(features, torch.tensor([[[0, 7], [35, 5]]]).expand(2, -1, -1))
    for picture in range(2):
        first = torch.cat([chosen[picture, :, 0, 0], chosen[picture, :, 1, 1]])
        second = torch.cat([chosen[picture, :, 5, 5], chosen[picture, :, 0, 5]])
        assert torch.equal(both[picture], torch.stack([first, second]))
    of_first = head(features)  # as an exported head is asked: every place, row by row
    every = torch.tensor([[place, 0] for place in range(36)]).expand(2, -1, -1)
    assert torch.equal(of_first, head(features, every))


def test_the_head_reads_the_last_map_where_that_is_fine_enough() -> None:
    head = DrlocHead(3, None, 4)
    features = [Features(torch.zeros(1, 3), torch.rand(1, 3, 6, 6), maps) for maps in ((), ())]
    assert not torch.equal(head(features[0]), head(features[1]))
    maps = (torch.rand(1, 3, 6, 6),)
    with_maps = Features(features[0].pooled, features[0].final, maps)
    assert torch.equal(head(with_maps), head(features[0]))


def test_a_distance_is_no_linear_function_of_the_features() -> None:
    model, _ = drloc(hidden=16)
    compare = model.heads["drloc"].compare
    assert [layer.out_features for layer in compare if isinstance(layer, nn.Linear)] == [16, 2]
    both = torch.rand(4, compare[0].in_features)
    assert not torch.allclose(compare(both) + compare(-both), 2 * compare(0 * both))


def test_the_backbone_sees_no_more_pictures() -> None:
    assert passes_a_picture(build_tasks({"expression": {}, "drloc": {}}), 48) == 1
