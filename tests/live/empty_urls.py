"""The URLs of a project that shows no jobs."""

from typing import Any

urlpatterns: list[Any] = []
