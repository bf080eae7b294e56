"""The URLs of a project that starts and shows jobs."""

from django.urls import include, path

from tests.live import views

urlpatterns = [
    path("tasks/", include("offload.urls")),
    path("start/", views.start),
    path("start-async/", views.start_async),
    path("page/", views.page),
    path("streamed-page/", views.streamed_page),
    path("streamed-page-async/", views.streamed_page_async),
    path("enqueue/", views.enqueue),
    path("once/", views.start_once),
    path("once-async/", views.start_once_async),
    path("sign-out/", views.sign_out),
    path("idle/", views.idle),
]
