"""The Celery configuration that producers and workers share. Each setting that is not Celery's default says why.

Import-safe anywhere: it opens no connection and imports neither onnxruntime nor a model.
"""

from __future__ import annotations

from celery import Celery

from rerank_shared.keys import Keys
from rerank_shared.queue.transport import fleet_broker_url
from rerank_shared.redis.connections import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, url_of
from rerank_shared.settings import Settings

TASK_NAME = "rerank.score"
BACKEND = "rerank_shared.queue.backend:FleetBackend"


def make_celery(settings: Settings, *, results: bool = True) -> Celery:
    """Return a Celery app for this fleet.

    With `results=False` (our clients, which listen on their own reply channel) sending a task does not subscribe to
    its result, which would cost a round trip a job; `AsyncResult` needs `results=True`.
    """
    keys = Keys(settings.namespace)
    app = Celery("rerank_fleet", broker=fleet_broker_url(settings), set_as_current=False)
    app.conf.update(
        **_message_settings(),
        **_delivery_settings(settings),
        **_result_settings(settings, keys, results=results),
        broker_transport_options=_transport_options(settings, keys),
        **_tls_settings(settings),
        # A client must not hang on a dead broker: it has a deadline, and reports the outage to its caller.
        task_publish_retry_policy={
            "max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2,
        },
        broker_connection_timeout=3,
        # Each thread that publishes holds a connection while it does.
        broker_pool_limit=64,
    )  # fmt: skip
    return app


def _message_settings() -> dict[str, object]:
    # No queues: the fleet names its own wherever it sends or consumes, and tasks of users go to Celery's default.
    return {
        # msgpack carries the job's bytes as they are; pickle is never accepted, json is for foreign tools.
        "task_serializer": "msgpack",
        "accept_content": ["msgpack", "json"],
        "result_serializer": "msgpack",
        "result_accept_content": ["msgpack"],
    }


def _delivery_settings(settings: Settings) -> dict[str, object]:
    return {
        # A job is acknowledged when its scores are written, so a killed worker's jobs come back.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_track_started": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_rate_limits": True,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        # A job outlives a lost connection: its scores are still wanted, and redelivery is harmless.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A refusal passes as an outage does: a replica is promoted, a permission given back, a script ends.
        "broker_channel_error_retry": True,
        "worker_log_format": "%(asctime)s %(levelname)s %(processName)s %(message)s",
        "worker_redirect_stdouts": False,
    }


def _result_settings(settings: Settings, keys: Keys, *, results: bool) -> dict[str, object]:
    return {
        "result_backend": f"{BACKEND}+{settings.redis_url.get_secret_value()}" if results else "disabled",
        "result_backend_transport_options": {"global_keyprefix": keys.prefix},
        "result_expires": settings.result_ttl_s,
        "task_ignore_result": False,
        # Redis may be away for a moment when a job ends; its scores were paid for, so try for ten seconds on average.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 24,
        "result_backend_base_sleep_between_retries_ms": 20,
        "result_backend_max_sleep_between_retries_ms": 1_000,
        "redis_socket_timeout": COMMAND_TIMEOUT_S,
        "redis_socket_connect_timeout": CONNECT_TIMEOUT_S,
    }


def _transport_options(settings: Settings, keys: Keys) -> dict[str, object]:
    url = url_of(settings)
    return {
        "global_keyprefix": keys.prefix,
        "bulk_share": settings.bulk_share,
        "max_deaths": settings.max_deaths,
        # Jobs of a dead worker come back after this long, or as soon as it is known to be dead: sweep every second.
        "lease_s": settings.redelivery_s,
        "unacked_restore_interval": 1,
        "unacked_restore_limit": 100,
        # Far above the second that a consumer blocks for, and short enough to notice a server that hangs.
        "socket_timeout": COMMAND_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": url.options.get("health_check_interval", COMMAND_TIMEOUT_S),
        "connection_options": url.options,
        **({} if url.scheme == "unix" else {"socket_keepalive": True}),
    }


def _tls_settings(settings: Settings) -> dict[str, object]:
    # The presence of these options makes kombu speak TLS; their values reach it again with all the others.
    options = url_of(settings).options
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return {"broker_use_ssl": tls} if tls else {}
