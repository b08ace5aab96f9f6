"""What all groups of settings have in common: a group holds the settings of one reader.

Each field says its unit, why it exists and how to choose it, and the docstring of a group says who reads it:
docs/settings.md is made from both. `Settings` is all groups in one, so a function that needs one group may ask for it
and be given `Settings`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsGroup(BaseModel):
    """Base of all groups."""

    model_config = ConfigDict(frozen=True)
