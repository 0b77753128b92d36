"""Starting processes: what is refused before, and what is said when they end."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from hybridface.errors import HybridFaceError, UsageError
from hybridface.network.shared_batch_norm import check_batch_norm
from hybridface.training.launch import cause
from hybridface.training.module import HybridModule
from hybridface.training.train import train
from tiny_runs import labelled_batch, tiny_model, tiny_recipe


def test_several_machines_need_a_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(tmp_path / "none", training={"nodes": 2})
    with pytest.raises(UsageError, match=r"start the command on each machine, by torchrun"):
        train(recipe)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "4")
    for training in ({"devices": 2}, {}):
        with pytest.raises(UsageError, match=r"but 4 processes were started"):
            train(tiny_recipe(tmp_path / "none", training=training))


def test_several_processes_on_windows_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridface.training.processes.sys.platform", "win32")
    with pytest.raises(UsageError, match=r"training\.devices is 2: .* Windows; take 1, or .* WSL"):
        train(tiny_recipe(tmp_path / "none", training={"devices": 2}))


def test_other_batch_norms_are_refused() -> None:
    with pytest.raises(UsageError, match=r"batch norm 0 is a SyncBatchNorm"):
        check_batch_norm(torch.nn.Sequential(torch.nn.SyncBatchNorm(3)))


def test_validation_outputs_stand_in_the_order_of_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tasks = tiny_model({"expression": {}})
    recipe = tiny_recipe(Path("none"), training={"devices": 3})
    module = HybridModule(recipe, model, tasks, 1, lambda: [])  # type: ignore[arg-type, return-value]
    batches = [torch.arange(12.0).chunk(3), torch.arange(12.0, 14.0).split([0, 1, 1])]

    def gathered(every: list[Any], own: list[tuple[Tensor, Tensor]]) -> None:
        every[:] = [[(b[rank], b[rank]) for b in batches if len(b[rank])] for rank in range(3)]

    monkeypatch.setattr("torch.distributed.all_gather_object", gathered)
    found = module._of_all([])
    assert torch.cat([output for output, _ in found]).tolist() == list(range(14))
    module.on_validation_epoch_start()
    module.validation_step(labelled_batch(2).rows(slice(0, 0)), 0)  # the part of the first process
    assert module._outputs == {"expression": []}


KILLED, ENDED, LOST = -signal.SIGKILL, -signal.SIGTERM, 1


@pytest.mark.parametrize(
    ("codes", "words", "kind", "said"),
    [
        ((LOST, KILLED), {0: (None, "connection lost")}, HybridFaceError, "1 of 2 was killed by"),
        ((ENDED, KILLED), {}, HybridFaceError, "process 1 of 2 was killed by SIGKILL"),
        ((LOST, ENDED), {0: (None, "OSError: no")}, HybridFaceError, "0 of 2 failed: OSError: no"),
        ((ENDED, 2), {1: (2, "wrong key")}, UsageError, "^wrong key$"),
        ((KILLED, 1), {1: (1, "no number")}, HybridFaceError, "^no number$"),
    ],
)
def test_the_cause_is_named(
    codes: tuple[int, ...],
    words: dict[int, tuple[int | None, str]],
    kind: type[HybridFaceError],
    said: str,
    tmp_path: Path,
) -> None:
    failures = {}
    for rank, code in enumerate(codes):
        file = tmp_path / f"{rank}.json"
        if rank in words:
            exit_code, message = words[rank]
            file.write_text(json.dumps({"exit_code": exit_code, "message": message}))
        failures[rank] = ProcessFailure(rank, 99, code, str(file))
    found = cause(tiny_recipe(tmp_path, training={"devices": 2}), failures)
    assert type(found) is kind
    assert re.search(said, str(found))
