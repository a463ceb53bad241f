"""Secrets fetched from files and scripts on the node that acts."""

from __future__ import annotations

import pytest

from fencing.agents.secret_sources import SecretError
from tests.unit.fencing.agents.test_secrets import resolve


def test_from_a_script() -> None:
    resolved = resolve({"password_script": "echo hunter22", "snmp_priv_passwd_script": "echo 'two words'"})
    assert resolved.options == {"password": "hunter22", "snmp_priv_passwd": "two words"}
    assert resolved.secrets == {"hunter22", "two words"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [("echo hunter22; exit 3", "exit status 3"), ("true", "empty"), ("echo hunter22; echo b", "more than one line"),
     ("echo hunter22; sleep 30", "did not end in time")],
)  # fmt: skip
def test_a_script_that_fails(script: str, reason: str) -> None:
    with pytest.raises(SecretError, match=reason) as raised:
        resolve({"passwd_script": script}, timeout_s=0.3 if "sleep" in script else 30.0)
    assert "hunter22" not in str(raised.value)
