"""Settings groups: each group holds the settings of one reader.

The description of a field says its unit, its purpose and how to choose it; the docstring of a group says which parts
read it. docs/settings.md is made from both. `Settings` joins all groups, so a function that needs one group may declare
that group and be given `Settings`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsGroup(BaseModel):
    """Base of all groups."""

    model_config = ConfigDict(frozen=True)
