"""The nouns: what is stored. What happens to it are the verbs of `offload.store`."""

from offload.models.attempt import Attempt
from offload.models.job import Job
from offload.models.worker import Worker

__all__ = ["Attempt", "Job", "Worker"]
