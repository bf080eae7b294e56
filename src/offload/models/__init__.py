"""The tables. Only `offload.store` writes to them."""

from offload.models.attempt import Attempt
from offload.models.job import Job
from offload.models.worker import Worker

__all__ = ["Attempt", "Job", "Worker"]
