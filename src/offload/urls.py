"""The URLs of jobs for the browser: `path("tasks/", include("offload.urls"))`."""

from __future__ import annotations

from django.urls import path

from offload.live import views
from offload.streams import views as events

app_name = "offload"

urlpatterns = [
    path("", views.job_list, name="list"),
    path("events/", events.events, name="events"),
    path("ws/", events.websocket, name="websocket"),
    path("<uuid:identifier>/", views.status, name="status"),
    path("<uuid:identifier>/cancel/", views.cancel, name="cancel"),
    path("<uuid:identifier>/result/", views.result, name="result"),
    path("<uuid:identifier>/page/", views.page, name="page"),
]
