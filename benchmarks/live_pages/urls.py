"""URLs of the project with `<task-status>` and the hand-written SSE view."""

from __future__ import annotations

from django.urls import include, path

from live_pages import sse_view, views

urlpatterns = [
    path("tasks/", include("offload.urls")),
    path("element/", views.element),
    path("websocket/", views.websocket),
    path("sse-view/", views.sse_view),
    path("sse-view/events/", sse_view.events),
]
