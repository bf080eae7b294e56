"""What ASGI servers load: the project of the tests, with streams and without an engine."""

from django.core.asgi import get_asgi_application

from offload.asgi import Offload

django = get_asgi_application()
application = Offload(django, engine=False)
