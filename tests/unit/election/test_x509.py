"""The end of a certificate; and texts that hold none."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from election.etcd.tls import TlsFiles
from election.etcd.x509 import CertificateError, ends
from tests.support.certificates import write_recorded


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    write_recorded(made)
    return made


def test_several_in_one_file(directory: Path) -> None:
    text = "".join((directory / f"{name}.pem").read_text() for name in ("short", "long"))
    first, second = ends(f"a comment\n{text}")
    assert first < second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_none_is_an_error(text: str) -> None:
    with pytest.raises(CertificateError):
        ends(text)


@given(st.data())
def test_a_damaged_one_is_an_error_or_has_an_end(directory: Path, data: st.DataObject) -> None:
    text = (directory / "short.pem").read_text()
    at = data.draw(st.integers(30, len(text) - 30))
    with contextlib.suppress(CertificateError):
        assert len(ends(text[:at] + data.draw(st.sampled_from("AZ9+/=\n%")) + text[at + 1 :])) == 1


def test_what_is_wrong_with_the_files_is_said(directory: Path, tmp_path: Path) -> None:
    good, none = str(directory / "short.pem"), str(tmp_path / "none.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    assert list(TlsFiles(good, good, str(directory / "short.key")).problems()) == []
    assert list(TlsFiles(good, none, "").problems()) == [f"{none} cannot be read: No such file or directory"]
    assert list(TlsFiles(str(broken)).problems()) == [f"{broken} holds no certificate in PEM form"]
    later = ends(Path(good).read_text())[0] + timedelta(days=1)
    (said,) = TlsFiles(str(directory / "long.pem"), good).problems(later)
    assert said.startswith(f"the client certificate {good} ended on ")


def test_a_file_that_was_replaced_is_another(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_text((directory / "short.pem").read_text())
    files = TlsFiles(str(path))
    before = files.mark()
    assert files.mark() == before
    other = tmp_path / "other.pem"
    other.write_text((directory / "long.pem").read_text())
    other.replace(path)
    assert files.mark() != before
