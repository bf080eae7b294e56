"""The URLs of a project without `offload.urls`."""

from typing import Any

urlpatterns: list[Any] = []
