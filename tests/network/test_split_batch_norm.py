from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from hybridface.network.split_batch_norm import (
    batch_norms,
    frozen_running_statistics,
    split_statistics,
)


class Tokens(nn.Module):
    """Normalises tokens that lie along the batch, as some transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.norm(images.flatten(2).transpose(1, 2).flatten(0, 1))
        return tokens.view(len(images), -1)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "plain": nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        "tokens": Tokens(),
        "with activation": timm.create_model("test_efficientnet", num_classes=0),
    }


@pytest.mark.parametrize("name", networks())
def test_one_pass_is_a_pass_for_each_part(name: str) -> None:
    together = networks()[name].double().train()
    apart = copy.deepcopy(together)
    parts = [torch.rand(count, 3, 32, 32).double() * (1 + count) for count in (4, 2, 3)]
    with split_statistics(together, [4, 2, 3]):
        found = together(torch.cat(parts))
    wanted = [apart(parts[0])]
    with frozen_running_statistics(apart):
        wanted += [apart(part) for part in parts[1:]]
    torch.testing.assert_close(found, torch.cat(wanted))
    weights = torch.rand_like(found)
    (found * weights).sum().backward()
    (torch.cat(wanted) * weights).sum().backward()
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for ours, theirs in zip(together.buffers(), apart.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    plain = copy.deepcopy(together)(torch.cat(parts))
    assert not torch.allclose(plain, found, rtol=1e-3)


def test_in_use_nothing_is_split() -> None:
    network = networks()["with activation"].eval()
    images = torch.rand(6, 3, 32, 32)
    with split_statistics(network, [4, 2]):
        found = network(images)
    assert torch.equal(found, network(images))


def test_a_network_is_what_it_was_even_after_an_error() -> None:
    network = networks()["with activation"]
    before = [(type(module), set(vars(module))) for module in network.modules()]
    with pytest.raises(ZeroDivisionError), split_statistics(network, [1, 1]):
        raise ZeroDivisionError
    assert [(type(module), set(vars(module))) for module in network.modules()] == before


def test_frozen_statistics_thaw_even_after_an_error() -> None:
    network = networks()["with activation"]
    momenta = [norm.momentum for norm in batch_norms(network)]
    assert 0.0 not in momenta
    with pytest.raises(ZeroDivisionError), frozen_running_statistics(network):
        assert {norm.momentum for norm in batch_norms(network)} == {0.0}
        raise ZeroDivisionError
    assert [norm.momentum for norm in batch_norms(network)] == momenta
