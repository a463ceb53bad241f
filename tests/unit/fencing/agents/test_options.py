"""A device's options against its agent's metadata."""

from __future__ import annotations

import pytest

from fencing.agents.metadata import ActionInfo, Metadata, Parameter
from fencing.agents.options import OptionValue, as_text, check_options, is_reference, refused_name, refused_text
from fencing.topology import SecretFile

RACK = Metadata(
    "fence_rack", "", "",
    (
        Parameter("action", required=True, default="reboot"),
        Parameter("ip", required=True, replaces="ipaddr", description="Where it is."),
        Parameter("ipaddr", required=True, deprecated=True, description="Where it is."),
        Parameter("plug", required=True, replaces="port", description="Which outlet"),
        Parameter("port", required=True, deprecated=True, description="Which outlet"),
        Parameter("password", description="Login password"),
        Parameter("auth", "select", default="md5", choices=("md5", "none"), description="How it knows us"),
        Parameter("method", "select", default="onoff", choices=("onoff", "cycle")),
        Parameter("power_wait", "second", default="0", description="Wait X seconds"),
        Parameter("lanplus", "boolean"),
        Parameter("missing_as_off", "boolean"),
        Parameter("debug_file"),
        Parameter("help", "boolean"),
    ),
    (ActionInfo("off"),),
)  # fmt: skip
GOOD: dict[str, OptionValue] = {"ip": "10.0.0.1"}


def told(options: dict[str, OptionValue], *, plug: bool = True) -> list[tuple[str, str]]:
    return [(check_option.level, str(check_option)) for check_option in check_options(RACK, options, plug=plug)]


def test_good_ones() -> None:
    more: dict[str, OptionValue] = {
        "password": SecretFile("/etc/hactl/secrets/rack"), "auth": "MD5", "power_wait": "3", "lanplus": "1",
        "missing_as_off": "false", "method": "onoff",
    }  # fmt: skip
    assert told({**GOOD, **more}) == []
    assert told({**GOOD, "plug": "3"}, plug=False) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pasword": "x"}, 'fence_rack has no option `pasword`: did you mean `password`, "Login password"?'),
        ({"hlp": "x"}, "fence_rack has no option `hlp`: `hactl fence describe fence_rack` shows its options"),
        ({"auth": "sha"}, 'option `auth`: `sha` is none of md5, none: "How it knows us"'),
        ({"power_wait": "2s"}, 'option `power_wait`: `2s` is not a whole number of seconds: "Wait X seconds"'),
        ({"lanplus": "maybe"}, "option `lanplus`: `maybe` is neither true nor false"),
        ({"password": "one\ntwo"}, 'option `password`: its value has more than one line: "Login password"'),
        ({"method": "cycle"}, "`method: cycle` cannot be verified: the machine is never seen to be off: use onoff"),
        ({"action": "off"}, "option `action` is given by hactl itself: leave it out"),
        ({"help": "1"}, "option `help` makes the agent answer and do nothing: leave it out"),
        ({"ipaddr": "10.0.0.2"}, "option `ipaddr` is the same as `ip`: leave one out"),
        ({"port": "3"}, "option `port` would be the same for every node: each node's plug is given"),
    ],
)
def test_errors(more: dict[str, OptionValue], message: str) -> None:
    assert [text for level, text in told({**GOOD, **more}) if level == "error"] == [message]


def test_what_is_missing() -> None:
    assert told({}, plug=False) == [
        ("error", 'fence_rack needs the option `ip`: "Where it is"'),
        ("error", 'fence_rack needs the option `plug`: "Which outlet"'),
    ]


def test_an_old_name_is_a_warning_and_counts() -> None:
    assert told({"ipaddr": "10.0.0.1"}) == [("warning", "option `ipaddr` is an old name: it is `ip` now")]


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"password": "hunter22"}, "would be kept in etcd for all to read"),
        ({"missing_as_off": "1"}, "misspelled name look like a machine that is off"),
        ({"debug_file": "/tmp/log"}, "perhaps with secrets"),
    ],
)
def test_warnings(more: dict[str, OptionValue], part: str) -> None:
    warnings = told({**GOOD, **more})
    assert [level for level, _ in warnings] == ["warning"]
    assert part in warnings[0][1]


def test_no_message_has_a_secret_in_it() -> None:
    for value in ("hunter22", " hunter22", '"hunter22"', "hunter22\n"):
        assert "hunter22" not in str(told({**GOOD, "password": value}))


def test_values_as_they_are_configured() -> None:
    assert [as_text(value) for value in (True, False, 623, "x")] == ["1", "0", "623", "x"]
    assert is_reference({"file": "/etc/hactl/secrets/x"})
    assert not any(
        is_reference(value) for value in ("file", {"path": "/x"}, {"file": 1}, {"file": "/x", "mode": "0600"}, None)
    )


def test_what_no_agent_is_given() -> None:
    assert [name for name in ("ip", "tls1.0", "project-domain") if refused_name(name)] == []
    assert all(refused_name(name) for name in ("a b", "a=b", "", "#ip", "version", "usage", "option", "nodename"))
    assert [text for text in ("", "x y", 'a"b"', '"', "#x") if refused_text(text)] == []
    assert all(refused_text(text) for text in ("x ", "\tx", "a\nb", '"x"', "a\0"))
