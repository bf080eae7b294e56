"""The URLs of the project."""

from django.contrib import admin
from django.urls import include, path

from tests.browser.project import views

urlpatterns = [
    path("tasks/", include("offload.urls")),
    path("admin/tasks/", views.in_admin),
    path("admin/", admin.site.urls),
    path("sign-in/", views.sign_in),
    path("sign-out/", views.sign_out),
    path("enqueue/", views.enqueue),
    path("import/", views.start_import),
    path("token/", views.token),
    path("backdate/", views.backdate),
    path("busy-worker/", views.busy_worker),
    path("count/", views.count),
    path("show/", views.show),
    path("form/", views.form),
    path("with-htmx/", views.with_htmx),
]
