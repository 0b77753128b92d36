"""What every section of a recipe has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe; keys that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
