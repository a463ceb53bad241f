"""The end of a certificate, as openssl wrote it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from election.etcd.x509 import ends
from tests.support.certificates import make


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    for name, days in (("short", 3), ("long", 365 * 40)):
        make(made, name, days)
    return made


@pytest.mark.parametrize(("name", "days"), [("short", 3), ("long", 365 * 40)])
def test_the_end_of_a_certificate_of_openssl(directory: Path, name: str, days: int) -> None:
    (end,) = ends((directory / f"{name}.pem").read_text())
    assert abs(end - datetime.now(UTC) - timedelta(days=days)) < timedelta(hours=1)
