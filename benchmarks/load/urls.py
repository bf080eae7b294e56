"""URLs of the project under load."""

from __future__ import annotations

from django.urls import path

from load import views

urlpatterns = [
    path("empty", views.empty),
    path("empty-async", views.empty_async),
    path("enqueue", views.enqueue),
    path("enqueue-async", views.enqueue_async),
]
