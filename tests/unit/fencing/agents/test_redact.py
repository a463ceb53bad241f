"""Secrets are taken out, however an agent spells them."""

from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fencing.agents.redact import WITHHELD, Redactor, is_secret

SECRET = "p'ss \"w0rd&<ü>/%"


@pytest.mark.parametrize(
    "name",
    ["password", "passwd", "snmp_priv_passwd", "snmp-priv-passwd", "community", "apikey", "secret_key", "access_key",
     "token", "hexadecimal_kg", "key", "PASSWORD"],
)  # fmt: skip
def test_secret_by_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["password_script", "token_file", "identity_file", "ip", "username", "key_value", "tlskey", "port", "login_timeout",
     "snmp_priv_prot", "snmpget_path", "auth_url"],
)  # fmt: skip
def test_not_secret_by_name(name: str) -> None:
    assert not is_secret(name)


def test_secret_by_what_the_agent_says() -> None:
    assert is_secret("pin", "Login password or passphrase")
    assert not is_secret("use_sudo", "Use sudo (without password) when calling 3rd party software")
    assert not is_secret("tlskey", "Path to client key (PEM format), with its password")


@pytest.mark.parametrize(
    "spelled",
    [SECRET, quote(SECRET), quote(SECRET, safe=""), urlencode({"p": SECRET}), json.dumps({"p": SECRET}),
     json.dumps(SECRET, ensure_ascii=False), repr([SECRET]), shlex.quote(SECRET),
     "'" + SECRET.replace("'", "'\\''") + "'",
     html.escape(SECRET), html.escape(SECRET, quote=False), repr(SECRET.encode()), SECRET.encode().hex(),
     base64.b64encode(SECRET.encode()).decode(), base64.b64encode(f"root:{SECRET}".encode()).decode()],
)  # fmt: skip
def test_however_it_is_spelled(spelled: str) -> None:
    text = f"Sending: {spelled} to 10.0.0.1"
    cleaned = Redactor([SECRET], ["root"]).clean(text)
    assert "w0rd" not in cleaned and "3072" not in cleaned and spelled not in cleaned
    assert cleaned.startswith("Sending: ") and cleaned.endswith(" to 10.0.0.1")


def test_one_secret_within_another() -> None:
    assert Redactor(["abcd", "abcdefgh"]).clean("abcdefgh abcd") == "*** ***"


def test_a_short_secret_withholds_everything() -> None:
    assert Redactor(["on"]).clean("turned on by on") == WITHHELD
    assert Redactor(["on"]).clean("") == ""


def test_without_secrets() -> None:
    assert Redactor([""]).clean("all of it") == "all of it"


@given(st.text(alphabet="abcd", min_size=4, max_size=9), st.text(alphabet="abcd \n", max_size=60), st.integers(0, 60))
def test_no_part_of_a_secret_at_a_cut(secret: str, around: str, at: int) -> None:
    """What is cut in the middle of a secret must not show its beginning."""
    text = around + "<<" + secret + ">>"
    cleaned = Redactor([secret]).clean(text[:at], cut=True)
    assert "<<" + secret[:1] not in cleaned
