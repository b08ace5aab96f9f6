"""Where the model of requests that name none comes from, in words: a caller who is told its name may not know it."""

from __future__ import annotations

import os

from rerank_shared.settings.environ.loading import Settings
from rerank_shared.settings.environ.names import PREFIX
from rerank_shared.settings.fleet import names_by_comma
from rerank_shared.settings.fleet_file import models_named_in, place_of


def model_origin(settings: Settings) -> str:
    """Return which setting of this process says `settings.model`; an argument takes precedence over the environment."""
    environ = {name.upper(): value for name, value in os.environ.items()}
    if environ.get(f"{PREFIX}MODEL") == settings.model:
        return f"{PREFIX}MODEL"
    if [*(names_by_comma(environ.get(f"{PREFIX}MODELS")) or ())][:1] == [settings.model]:
        return f"the first of {PREFIX}MODELS"
    if (place := place_of(settings.fleet_file)) is not None and models_named_in(place)[:1] == (settings.model,):
        return f"the first of {place.name}"
    if settings.model == Settings.model_fields["model"].default:
        return f"the default of {PREFIX}MODEL"
    return "the model that the client was given"
