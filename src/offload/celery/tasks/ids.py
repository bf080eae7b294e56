"""The ids of tasks: text of any kind in Celery, UUIDs in rows."""

from offload.celery_results.ids import is_own_text, job_id

__all__ = ["is_own_text", "job_id"]
