"""The settings with which etcd runs on this machine, from the file that systemd gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hactl.admin.errors import NoSuchError
from hactl.linux.regular_file import read_regular

# That of `hactl setup`, then Debian's.
USUAL = (Path("/etc/hactl/etcd.env"), Path("/etc/default/etcd"))

_LINE = re.compile(r"""\s*(ETCD_\w+)=(?:"([^"]*)"|'([^']*)'|(.*?))\s*""")


class EtcdSettings(NamedTuple):
    """`members`: their names and URLs for each other. `client_url`: where this one answers. `ca`, `cert`, `key`: with
    which it may be asked; empty without TLS."""

    path: Path
    name: str
    data_dir: Path
    members: Mapping[str, str]
    peer_urls: str
    client_url: str
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def initial_cluster(self) -> str:
        """The members in etcd's own form."""
        return ",".join(f"{name}={url}" for name, url in self.members.items())


def find_settings(given: Path | None = None) -> EtcdSettings:
    """Those in the file, else in the first of the usual ones that is there. Raises NoSuchError."""
    path = given or next((usual for usual in USUAL if usual.exists()), None)
    if path is None:
        places = " or ".join(map(str, USUAL))
        raise NoSuchError(f"no settings of etcd are in {places}: name the file that has them: `--settings FILE`")
    try:
        return read_settings(read_regular(path).decode(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise NoSuchError(f"{path} cannot be read: {error}") from None


def read_settings(text: str, path: Path) -> EtcdSettings:
    """Those of the text. Raises NoSuchError for one that is missing, or that cannot be restored to."""
    values = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            values[match[1]] = next((value for value in match.groups()[1:] if value is not None), "")

    def needed(name: str) -> str:
        if not values.get(f"ETCD_{name}"):
            raise NoSuchError(f"{path} has no ETCD_{name}: write it there, as docs/install.md, *etcd*, shows")
        return values[f"ETCD_{name}"]

    if values.get("ETCD_WAL_DIR"):
        raise NoSuchError(f"{path} has ETCD_WAL_DIR: restore by hand, with `snapshot restore --wal-dir`")
    client_url = needed("ADVERTISE_CLIENT_URLS").partition(",")[0]
    tls = ("TRUSTED_CA_FILE", "PEER_CERT_FILE", "PEER_KEY_FILE") if client_url.startswith("https:") else ()
    return EtcdSettings(
        path,
        needed("NAME"),
        Path(needed("DATA_DIR")),
        read_members(needed("INITIAL_CLUSTER"), str(path)),
        needed("INITIAL_ADVERTISE_PEER_URLS"),
        client_url,
        *(needed(name) for name in tls),
    )


def read_members(text: str, where: str) -> dict[str, str]:
    """NAME=URL, separated by commas. Raises NoSuchError."""
    members = {}
    for part in text.split(","):
        name, _, url = part.strip().partition("=")
        if not name or "://" not in url:
            raise NoSuchError(f"{where}: `{part}` is no member: write NAME=https://ADDRESS:2380, separated by commas")
        if name in members:
            raise NoSuchError(f"{where}: `{name}` has two addresses: name each member once")
        members[name] = url
    return members
