"""Until when a certificate holds (RFC 5280, 4.1.2.5), read from its PEM file's text. Pure.

Only what leads to that date is looked at: hactl shows a certificate's end, TLS itself decides whether it is good.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----(.+?)-----END \1-----", re.S)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


class CertificateError(ValueError):
    """The text holds no certificate that can be read."""


def ends(pem: str) -> list[datetime]:
    """The end of each certificate in `pem`, in their order. Raises CertificateError."""
    dates = [_not_after(_der(block)) for _, block in _PEM.findall(pem)]
    if not dates:
        raise CertificateError("holds no certificate in PEM form")
    return dates


def _der(block: str) -> bytes:
    try:
        return base64.b64decode("".join(block.split()), validate=True)
    except (binascii.Error, ValueError):
        raise CertificateError("holds a certificate that is not Base64") from None


def _not_after(der: bytes) -> datetime:
    """Certificate = SEQUENCE {tbsCertificate = SEQUENCE {[0] version, serial, signature, issuer, validity, …}}."""
    body, _ = _take(_take(der, _SEQUENCE)[0], _SEQUENCE)
    if body[:1] == bytes([_VERSION]):
        _, body = _take(body)
    for _ in ("serial", "signature", "issuer"):
        _, body = _take(body)
    validity, _ = _take(body, _SEQUENCE)
    _, after_begin = _take(validity)
    text, _ = _take(after_begin)
    return _time(after_begin[0], text)


def _take(data: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element of `data`, and what comes after it (X.690, 8.1)."""
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise CertificateError("holds a certificate that is cut off or damaged")
    length, begin = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        begin += count
        length = int.from_bytes(data[2:begin], "big")
    if length > len(data) - begin:
        raise CertificateError("holds a certificate that is cut off or damaged")
    return data[begin : begin + length], data[begin + length :]


def _time(tag: int, content: bytes) -> datetime:
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    try:
        if form is None:
            raise ValueError
        end = datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC)
    except (ValueError, UnicodeDecodeError):
        raise CertificateError("holds a certificate whose end is no date") from None
    # RFC 5280: two digits from 50 on are of the last century; strptime's border is 69.
    return end.replace(year=end.year - 100) if tag == _UTC_TIME and end.year >= 2050 else end
