"""All settings of the fleet, read from the environment with the prefix RERANK_, and below it a profile.

Each reader has a module: `client`, `feedback`, `queue`, `batching`, `engine`, `supervisor`, `autoscaling`,
`quality_gate`. `fleet` holds the settings that all of them read, and `tuned` those that `rerank-fleet tune` measures.
Names are flat all the same: `settings.grace_s`, `load_settings(grace_s=…)`, `RERANK_GRACE_S`.

A variable or keyword that no field reads is an error, because a setting that is silently ignored is the worst kind.
"""

from rerank_shared.settings.autoscaling import AutoscalingSettings
from rerank_shared.settings.batching import BatchingSettings
from rerank_shared.settings.client import ClientSettings
from rerank_shared.settings.engine import DeviceName, EngineSettings, KernelName
from rerank_shared.settings.environ.loading import (
    GROUPS,
    TUNED_TITLE,
    Settings,
    bare_environ,
    load_settings,
    profile_of,
    to_environ,
)
from rerank_shared.settings.environ.names import FORMER, GATEWAY_PREFIX, PREFIX, mistakes, refuse_unknown, variables
from rerank_shared.settings.feedback import FeedbackSettings
from rerank_shared.settings.fleet import DEFAULT_REDIS_URL, FleetSettings, names_by_comma
from rerank_shared.settings.group import SettingsGroup
from rerank_shared.settings.quality_gate import QualityGateSettings
from rerank_shared.settings.queue import QueueSettings
from rerank_shared.settings.supervisor import SupervisorSettings
from rerank_shared.settings.tuned import TunedSettings

__all__ = [
    "DEFAULT_REDIS_URL",
    "FORMER",
    "GATEWAY_PREFIX",
    "GROUPS",
    "PREFIX",
    "TUNED_TITLE",
    "AutoscalingSettings",
    "BatchingSettings",
    "ClientSettings",
    "DeviceName",
    "EngineSettings",
    "FeedbackSettings",
    "FleetSettings",
    "KernelName",
    "QualityGateSettings",
    "QueueSettings",
    "Settings",
    "SettingsGroup",
    "SupervisorSettings",
    "TunedSettings",
    "bare_environ",
    "load_settings",
    "mistakes",
    "names_by_comma",
    "profile_of",
    "refuse_unknown",
    "to_environ",
    "variables",
]
