"""`etcdctl` as it has to be typed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_ENDPOINTS = "--endpoints="


def etcdctl_command(endpoints: Sequence[str], *, ca: str, cert: str, key: str, user: str) -> str:
    """`etcdctl` with what it needs to reach these endpoints; it asks for the password."""
    scheme = "https" if ca else "http"
    named = ",".join(endpoint if "://" in endpoint else f"{scheme}://{endpoint}" for endpoint in endpoints)
    flags = (("--endpoints", named), ("--cacert", ca), ("--cert", cert), ("--key", key), ("--user", user))
    return " ".join(["etcdctl", *(f"{flag}={value}" for flag, value in flags if value)])


def scheme(etcdctl: str) -> str:
    """That of its endpoints."""
    return "https" if "https://" in _flag(etcdctl) else "http"


def at_endpoint(etcdctl: str, endpoint: str) -> str:
    """The same command for one endpoint, HOST:PORT."""
    flag = _flag(etcdctl)
    return etcdctl.replace(flag, f"{_ENDPOINTS}{scheme(etcdctl)}://{endpoint}") if flag else etcdctl


def _flag(etcdctl: str) -> str:
    return next((word for word in etcdctl.split(" ") if word.startswith(_ENDPOINTS)), "")
