"""The store: the only place that changes a job.

Each operation is one transaction, or part of the caller's. A write about a running job names its id
and its fence, and requires that it is running: a worker that has lost a job cannot change it.
"""

from __future__ import annotations

from abc import ABC

from offload.store.control import Control
from offload.store.idle_keys import IdleKeys
from offload.store.retention import Retention
from offload.store.schedules import Schedules
from offload.store.workers import Workers
from offload.store.workflow_reads import WorkflowReads
from offload.store.workflow_steps import WorkflowSteps


class Store(Workers, WorkflowSteps, Retention, IdleKeys, Control, Schedules, WorkflowReads, ABC):
    """The jobs of one database, with the operations of all base classes. Subclasses are dialects.

    Cheap to create; uses Django's connections.
    """
