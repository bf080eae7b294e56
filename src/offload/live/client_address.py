"""The address of a client, by which connections of visitors are counted."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.getters import import_getter
from offload.live.jobs import backend_options

if TYPE_CHECKING:
    from django.http import HttpRequest

IPV6_NETWORK_BITS = 64
"""One client chooses its addresses from a network of this size."""
MAX_CHARS = 64


def client_address(request: HttpRequest) -> str:
    """Return the address of the client, or its network if it is an IPv6 address.

    It is "" if the server does not know it, as behind a Unix socket.
    """
    path = backend_options(DEFAULT_TASK_BACKEND_ALIAS).address_getter
    value = import_getter(path)(request) if path else request.META.get("REMOTE_ADDR")
    return _network(str(value or "").strip())


def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text[:MAX_CHARS]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{int(address) >> IPV6_NETWORK_BITS:x}::/{IPV6_NETWORK_BITS}"
