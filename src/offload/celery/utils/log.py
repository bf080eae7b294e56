"""`offload.celery.utils.log`, under Celery's name: loggers of tasks."""

from __future__ import annotations

import logging

base_logger = logging.getLogger("celery")
task_logger = logging.getLogger("celery.task")
worker_logger = logging.getLogger("celery.worker")


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a name; one without a parent gets that of Celery as its parent."""
    logger = logging.getLogger(name)
    if logger.parent is logging.root and logger is not base_logger:
        logger.parent = base_logger
    return logger


def get_task_logger(name: str) -> logging.Logger:
    """Return the logger of a module with tasks, a child of "celery.task" as in Celery."""
    logger = get_logger(name)
    if logger.parent in {logging.root, base_logger}:
        logger.parent = task_logger
    return logger
