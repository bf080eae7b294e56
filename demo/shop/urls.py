"""The shop's addresses."""

from django.urls import path

from shop import files, views

urlpatterns = [
    path("", views.page, name="page"),
    path("photos/blocking/", views.preview_blocking, name="photos-blocking"),
    path("photos/background/", views.preview_background, name="photos-background"),
    path("orders/blocking/", views.import_blocking, name="orders-blocking"),
    path("orders/background/", views.import_background, name="orders-background"),
    path("mails/blocking/", views.newsletter_blocking, name="mails-blocking"),
    path("mails/background/", views.newsletter_background, name="mails-background"),
    path("jobs/<uuid:job_id>/", views.job_state, name="job"),
    path("newsletters/<int:newsletter_id>/", views.newsletter_state, name="newsletter"),
    path("static/<path:path>", files.asset),
    path("media/<path:path>", files.media),
    path("samples/<path:path>", files.sample, name="sample"),
]
handler400 = views.refuse
