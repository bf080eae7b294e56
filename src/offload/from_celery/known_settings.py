"""What takes the place of each setting of Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from offload.conf import did_you_mean


class Meaning(NamedTuple):
    """What becomes of a setting; the fields are those of `Item`."""

    becomes: str = ""
    lost: str = ""
    by_hand: str = ""


def meaning_of(name: str, value: Any) -> Meaning:
    """Return what becomes of a setting.

    Args:
        name: in lower case, without a prefix: "task_routes".
        value: what the project sets.
    """
    known = KNOWN.get(name)
    if callable(known):
        return known(value)
    if known is not None:
        return known
    for prefix, meaning in _FAMILIES.items():
        if name.startswith(prefix):
            return meaning
    return Meaning(
        by_hand=f"Celery has no setting {name!r}.{did_you_mean(name, sorted(KNOWN))} "
        "If the project reads it itself, keep it."
    )


# --- settings whose value matters ---------------------------------------------------------


def _only_json(value: Any) -> Meaning:
    names = [value] if isinstance(value, str) else list(value or ())
    others = sorted(name for name in map(str, names) if name not in {"json", "application/json"})
    if not others:
        return Meaning("JSON, as before")
    return Meaning(
        "JSON",
        by_hand=f"Pass only what JSON carries; {', '.join(others)} is not read. Messages that are "
        "pickled stay in the broker without --allow-pickle.",
    )


def _processes(value: Any) -> Meaning:
    return Meaning(f"offload_worker --processes {value}, or OPTIONS['processes']")


def _jobs_per_child(value: Any) -> Meaning:
    return Meaning(
        f"OPTIONS['max_jobs_per_child'] = {value}", by_hand="Set it in TASKS, if you need it."
    )


def _memory_per_child(value: Any) -> Meaning:
    mebibytes = max(1, round(int(value or 0) / 1024))
    return Meaning(
        f"OPTIONS['max_memory_per_child'] = {mebibytes}, which is in MiB",
        by_hand="Set it in TASKS, if you need it.",
    )


def _expires(value: Any) -> Meaning:
    if value is None:
        period = "None"
    else:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
        period = f"timedelta(seconds={seconds:g})"
    return Meaning(
        f"OPTIONS['keep_successful'] and ['keep_failed'] = {period}; 7 and 30 days without",
        by_hand="Set them in TASKS, if you need others.",
    )


def _acks_late(value: Any) -> Meaning:
    if value:
        return Meaning("always so: a job whose process died runs again")
    return Meaning("read by offload.celery: a job whose process died does not run again")


def _queues(value: Any) -> Meaning:
    names = sorted(queue_names(value))
    return Meaning(
        f"TASKS['default']['QUEUES'] = {names}",
        lost="exchanges and routing keys",
        by_hand="List them in TASKS.",
    )


def queue_names(value: Any) -> Iterable[str]:
    """Return the names of the queues in `task_queues`."""
    if isinstance(value, Mapping):
        return map(str, value)
    return [str(getattr(queue, "name", queue)) for queue in value or ()]


def _scheduler(value: Any) -> Meaning:
    if "django_celery_beat" in str(value):
        return Meaning("schedules of the database, made of the rows of django_celery_beat")
    return _NO_BEAT


def _database_results(value: Any) -> Meaning:
    kept = "nothing: results are kept with the jobs"
    if "django-db" in str(value):
        return Meaning(kept, lost="results of the past stay in django_celery_results")
    return Meaning(kept, lost="results of the past stay where they are")


# --- all settings -------------------------------------------------------------------------

_READ = Meaning("read by offload.celery, as before")
_NO_BROKER = Meaning("nothing: jobs are rows of the database; CeleryBackend reads it")
_BROKER_URL = Meaning(
    _NO_BROKER.becomes, by_hand="Remove it when no message is left, unless you use CeleryBackend."
)
_NO_MESSAGE = Meaning("nothing: a job is a row, and no message")
_RESULTS = Meaning("nothing: results are kept with the jobs")
_NO_WORKER = Meaning("nothing: offload_worker runs the jobs; CeleryBackend's workers read it")
_NO_BEAT = Meaning("nothing: workers enqueue the jobs of schedules")
_LOGGING = Meaning("LOGGING of Django's settings")
_PAGES = Meaning("nothing: the admin, pages and offload_jobs show jobs")

KNOWN: dict[str, Meaning | Callable[[Any], Meaning]] = {
    **dict.fromkeys(
        (
            "beat_schedule",
            "imports",
            "include",
            "result_strict",
            "task_always_eager",
            "task_annotations",
            "task_default_priority",
            "task_default_queue",
            "task_eager_propagates",
            "task_ignore_result",
            "task_soft_time_limit",
            "task_time_limit",
            "task_track_started",
            "timezone",
        ),
        _READ,
    ),
    "task_default_rate_limit": Meaning("read by offload.celery; for all workers together"),
    "task_routes": Meaning(
        "read by offload.celery: queue and priority", lost="routing_key and exchange"
    ),
    "task_acks_late": _acks_late,
    **dict.fromkeys(
        ("task_reject_on_worker_lost", "task_retry_on_worker_lost"),
        Meaning(
            "always so: a job whose process died runs again, OPTIONS['max_worker_losses'] times"
        ),
    ),
    "task_queues": _queues,
    "task_create_missing_queues": Meaning("TASKS['default']['QUEUES']: [] allows any name"),
    "task_serializer": _only_json,
    "accept_content": _only_json,
    "result_serializer": _only_json,
    "result_accept_content": _only_json,
    "task_store_errors_even_if_ignored": Meaning("always so: errors are kept with the job"),
    "task_inherit_parent_priority": Meaning(
        lost="tasks do not inherit the priority of the task that calls them"
    ),
    "task_allow_error_cb_on_chord_header": Meaning(
        by_hand="Test what follows a chord whose header fails: no setting changes it."
    ),
    **dict.fromkeys(
        ("task_acks_on_failure", "task_acks_on_failure_or_timeout", "task_acks_on_timeout"),
        Meaning("nothing: a job that failed is a row, and offload_jobs retry runs it again"),
    ),
    "task_send_sent_event": _PAGES,
    "task_remote_tracebacks": Meaning("always so: tracebacks are kept with the job"),
    "task_store_eager_result": Meaning(lost="eager tasks keep their results in the process only"),
    "enable_utc": Meaning("always so"),
    **dict.fromkeys(
        (
            "task_cls",
            "task_compression",
            "task_create_missing_queue_exchange_type",
            "task_create_missing_queue_type",
            "task_default_delivery_mode",
            "task_default_exchange",
            "task_default_exchange_type",
            "task_default_queue_type",
            "task_default_routing_key",
            "task_protocol",
            "task_publish_retry",
            "task_publish_retry_policy",
            "task_queue_max_priority",
        ),
        _NO_MESSAGE,
    ),
    **dict.fromkeys(
        (
            "broker_channel_error_retry",
            "broker_connection_max_retries",
            "broker_connection_retry",
            "broker_connection_retry_on_startup",
            "broker_connection_timeout",
            "broker_failover_strategy",
            "broker_heartbeat",
            "broker_pool_acquire_timeout",
            "broker_heartbeat_checkrate",
            "broker_host",
            "broker_login_method",
            "broker_native_delayed_delivery_queue_type",
            "broker_password",
            "broker_pool_limit",
            "broker_port",
            "broker_transport",
            "broker_transport_options",
            "broker_use_ssl",
            "broker_user",
            "broker_vhost",
            "broker_write_url",
        ),
        _NO_BROKER,
    ),
    **dict.fromkeys(("broker_url", "broker_read_url"), _BROKER_URL),
    "result_backend": _database_results,
    "result_expires": _expires,
    "result_failure_expires": Meaning("OPTIONS['keep_failed'], which is 30 days without"),
    **dict.fromkeys(
        (
            "result_backend_always_retry",
            "result_backend_base_sleep_between_retries_ms",
            "result_backend_max_retries",
            "result_backend_max_sleep_between_retries_ms",
            "result_backend_transport_options",
            "result_cache_max",
            "result_chord_expires",
            "result_chord_join_timeout",
            "result_chord_retry_interval",
            "result_compression",
            "result_exchange",
            "result_exchange_type",
            "result_persistent",
        ),
        _RESULTS,
    ),
    "result_extended": Meaning("always so: name and arguments are kept with the job"),
    "worker_concurrency": _processes,
    "worker_max_tasks_per_child": _jobs_per_child,
    "worker_max_memory_per_child": _memory_per_child,
    "worker_send_task_events": _PAGES,
    **dict.fromkeys(
        (
            "worker_agent",
            "worker_autoscaler",
            "worker_cancel_long_running_tasks_on_connection_loss",
            "worker_consumer",
            "worker_deduplicate_successful_tasks",
            "worker_detect_quorum_queues",
            "worker_direct",
            "worker_disable_prefetch",
            "worker_enable_prefetch_count_reduction",
            "worker_enable_remote_control",
            "worker_enable_soft_shutdown_on_idle",
            "worker_eta_task_limit",
            "worker_lost_wait",
            "worker_pool",
            "worker_pool_putlocks",
            "worker_pool_restarts",
            "worker_pool_start_method",
            "worker_prefetch_multiplier",
            "worker_proc_alive_timeout",
            "worker_state_db",
            "worker_timer",
            "worker_timer_precision",
        ),
        _NO_WORKER,
    ),
    "worker_disable_rate_limits": Meaning(lost="rates always hold"),
    "worker_soft_shutdown_timeout": Meaning("OPTIONS['shutdown_timeout']"),
    **dict.fromkeys(
        (
            "task_repr_maxlevels",
            "worker_hijack_root_logger",
            "worker_log_color",
            "worker_log_datefmt",
            "worker_log_format",
            "worker_redirect_stdouts",
            "worker_redirect_stdouts_level",
            "worker_task_log_datefmt",
            "worker_task_log_format",
        ),
        _LOGGING,
    ),
    "beat_scheduler": _scheduler,
    **dict.fromkeys(
        (
            "beat_cron_starting_deadline",
            "beat_enable_remote_control",
            "beat_max_loop_interval",
            "beat_remote_control_max_tick_age",
            "beat_schedule_filename",
            "beat_sync_every",
        ),
        _NO_BEAT,
    ),
}
"""Each is what becomes of a setting, or tells it by the value."""

_FAMILIES = {
    "event_": _PAGES,
    "control_": Meaning("nothing: offload_health, offload_jobs and offload_queues"),
    "security_": Meaning("nothing: no message can be forged, as a job is a row"),
    **dict.fromkeys(
        (
            "arangodb_",
            "azureblockblob_",
            "cache_",
            "cassandra_",
            "cosmosdbsql_",
            "couchbase_",
            "database_",
            "elasticsearch_",
            "gcs_",
            "mongodb_",
            "redis_",
            "s3_",
        ),
        _RESULTS,
    ),
}
"""By how the names of settings begin."""

OLD_NAMES = {
    "BROKER_URL": "broker_url",
    "BROKER_TRANSPORT_OPTIONS": "broker_transport_options",
    "BROKER_USE_SSL": "broker_use_ssl",
    "CELERYBEAT_SCHEDULE": "beat_schedule",
    "CELERYBEAT_SCHEDULER": "beat_scheduler",
    "CELERYD_CONCURRENCY": "worker_concurrency",
    "CELERYD_HIJACK_ROOT_LOGGER": "worker_hijack_root_logger",
    "CELERYD_MAX_TASKS_PER_CHILD": "worker_max_tasks_per_child",
    "CELERYD_PREFETCH_MULTIPLIER": "worker_prefetch_multiplier",
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERY_ACKS_LATE": "task_acks_late",
    "CELERY_ALWAYS_EAGER": "task_always_eager",
    "CELERY_DEFAULT_QUEUE": "task_default_queue",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_IGNORE_RESULT": "task_ignore_result",
    "CELERY_QUEUES": "task_queues",
    "CELERY_ROUTES": "task_routes",
    "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERY_TRACK_STARTED": "task_track_started",
}
"""Names of settings before Celery 4, which projects without a namespace may still use."""
