"""Recipes, their section ``backbone``: the network that all tasks share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from hybridface.config.section import Section

_BY_CHECKPOINT = "weights come by backbone.init or backbone.checkpoint"
NOT_OPTIONS = {
    "model_name": "it is backbone.name",
    "num_classes": "the heads are those of the tasks",
    "drop_path_rate": "it is backbone.drop_path",
    "img_size": "it is data.size",
    "in_chans": "pictures have three channels",
    "features_only": "the tasks need the whole network",
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        _BY_CHECKPOINT,
    ),
}


class BackboneConfig(Section):
    """The network that all tasks share.

    Attributes:
        name: Any timm model.
        init: ``random`` weights, or those of ``imagenet``: ``tf_efficientnet_lite0`` and
            ``tf_efficientnet_lite1`` from the packages of the extra ``imagenet``, all others timm's
            own (needs a network or a cache).
        zero_init_residual: Let every residual block of random weights start as the identity, by a
            zero scale in its last batch norm (Goyal et al. 2017, arXiv:1706.02677).
        drop_path: Stochastic depth rate.
        options: What else ``timm.create_model`` takes for it, as ``{patch_size: 8}``. Networks that
            are made for one size of pictures, such as vision transformers, get ``data.size``
            without being told.
        checkpoint: Weights that it starts from, in place of ``init``: a run folder, for its best
            weights, a safetensors file of a run or of timm's own weights, an exported model, or
            ``default``, the model that ships. Heads start anew. To go on with a run is another
            thing, ``--resume``.
        frozen: Keep its weights and the statistics of its batch norms as they are, so that the
            heads alone learn, in a fraction of the time: linear evaluation of what it knows, or
            non-linear with ``hidden`` of a task. Of two stages (``pretrain``) the second has it so.
        learning_rate_factor: Its learning rate as a part of ``training.learning_rate``, which the
            heads have: below 1 what it knows from ``init`` or ``checkpoint`` changes more slowly
            than heads that start anew.
    """

    name: str = "efficientnet_b0"
    init: Literal["random", "imagenet"] = "random"
    zero_init_residual: bool = True
    drop_path: float = Field(0.0, ge=0, lt=1)
    options: dict[str, Any] = {}
    checkpoint: Path | None = None
    frozen: bool = False
    learning_rate_factor: float = Field(1.0, gt=0, le=10)

    @field_validator("options")
    @classmethod
    def _leave_what_is_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in NOT_OPTIONS:
                raise ValueError(f"'{name}' cannot be said here: {NOT_OPTIONS[name]}")
        return options
