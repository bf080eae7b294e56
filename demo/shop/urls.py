"""The shop's URLs."""

from django.urls import include, path

from shop import files, views

urlpatterns = [
    path("", views.lab, name="lab"),
    path("photos/blocking/", views.photos_blocking, name="photos-blocking"),
    path("photos/background/", views.photos_background, name="photos-background"),
    path("orders/blocking/", views.orders_blocking, name="orders-blocking"),
    path("orders/background/", views.orders_background, name="orders-background"),
    path("mails/blocking/", views.mails_blocking, name="mails-blocking"),
    path("mails/background/", views.mails_background, name="mails-background"),
    path("visits/blocking/", views.visits_blocking, name="visits-blocking"),
    path("visits/background/", views.visits_background, name="visits-background"),
    path("parcels/blocking/", views.parcels_blocking, name="parcels-blocking"),
    path("parcels/background/", views.parcels_background, name="parcels-background"),
    path("payment/blocking/", views.payment_blocking, name="payment-blocking"),
    path("payment/background/", views.payment_background, name="payment-background"),
    path("tasks/", include("offload.urls")),
    path("static/<path:path>", files.asset),
    path("media/<path:path>", files.media),
    path("samples/<path:path>", files.sample, name="sample"),
]
handler400 = views.refuse
