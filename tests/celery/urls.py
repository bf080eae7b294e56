"""The URLs of a project with Celery's views."""

from django.urls import include, path

from tests.celery import views

urlpatterns = [
    path("tasks/", include("offload.urls")),
    path("start/", views.start),
    path("status/<str:task_id>/", views.status),
    path("sign-up/", views.sign_up),
    path("newsletter/", views.send_newsletter),
    path("answer/", views.answer),
    path("answer/<str:task_id>/", views.failing_answer),
    path("accept/", views.accept),
    path("page/<str:task_id>/", views.page),
]
