"""Where the pages are."""

from __future__ import annotations

from django.urls import include, path

from audience import by_hand, views

urlpatterns = [
    path("tasks/", include("offload.urls")),
    path("element/", views.element),
    path("socket/", views.socket),
    path("by-hand/", views.by_hand),
    path("by-hand/events/", by_hand.events),
]
