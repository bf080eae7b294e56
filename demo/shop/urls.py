"""The shop's URLs."""

from django.urls import include, path

from shop import files, picture_views, stock_views, tick_views, views

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
    path("pictures/", picture_views.show, name="pictures"),
    path("pictures/start/", picture_views.start, name="pictures-start"),
    path("pictures/retry/", picture_views.retry, name="pictures-retry"),
    path("stock/", stock_views.show, name="stock"),
    path("stock/turns/", stock_views.in_turns, name="stock-turns"),
    path("stock/order/", stock_views.in_order, name="stock-order"),
    path("schedules/", tick_views.show, name="schedules"),
    path("schedules/<name>/pause/", tick_views.pause, name="schedules-pause"),
    path("schedules/<name>/resume/", tick_views.resume, name="schedules-resume"),
    path("schedules/<name>/run/", tick_views.run, name="schedules-run"),
    path("tasks/", include("offload.urls")),
    path("static/<path:path>", files.asset),
    path("media/<path:path>", files.media),
    path("samples/<path:path>", files.sample, name="sample"),
]
handler400 = views.refuse
