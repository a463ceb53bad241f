"""OCF agents' descriptions of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fencing.agents.description import MetadataError
from hactl.resources.ocf.metadata import OcfAction, OcfMetadata, OcfParameter, duration_ms, parse

XML = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="rack" version="1.2">
<version>1.1</version>
<longdesc lang="en">Drives
  a rack &amp; its shelves.</longdesc>
<shortdesc lang="en">For racks</shortdesc>
<parameters>
<parameter name="ip" unique="1" required="1"><longdesc>Where it is</longdesc><content type="string"/></parameter>
<parameter name="fast" unique-group="fast"><content type="boolean" default="false"/></parameter>
<parameter name="mode"><content type="select" default="a"><option value="a"/><option value="b"/></content></parameter>
<parameter name="old"><deprecated><replaced-with name="ip"/></deprecated><content type="string"/></parameter>
<parameter name="admin_password"><shortdesc>of the admin</shortdesc><content type="string"/></parameter>
<parameter name="wait"><content type="time" default="10s"/></parameter>
<parameter name="strange"><content type="kilograms"/></parameter>
</parameters>
<actions>
<action name="start" timeout="90s"/><action name="stop" timeout="2m"/>
<action name="monitor" timeout="20" interval="10" depth="0"/>
<action name="monitor" timeout="30s" interval="60s" depth="20"/>
<action name="monitor" timeout="soon" interval="10s" role="Promoted"/>
<action name="meta-data" timeout="5s"/><action name="validate-all"/>
</actions>
</resource-agent>
"""


def test_metadata_is_read() -> None:
    metadata = parse(XML)
    assert (metadata.name, metadata.version, metadata.summary) == ("rack", "1.2", "For racks")
    assert metadata.description == "Drives a rack & its shelves."
    assert metadata.parameter("ip") == OcfParameter("ip", required=True, unique=True, description="Where it is")
    assert metadata.parameter("fast") == OcfParameter("fast", "boolean", default="false", unique=True)
    assert metadata.parameter("mode") == OcfParameter("mode", "select", default="a", choices=("a", "b"))
    kinds = [known.kind for known in metadata.parameters]
    assert kinds == ["string", "boolean", "select", "string", "string", "time", "string"]
    assert [known.name for known in metadata.parameters if known.deprecated] == ["old"]
    assert metadata.secret_names == {"admin_password"}
    assert metadata.actions[3] == OcfAction("monitor", 30_000, 60_000, 20)
    assert metadata.actions[4] == OcfAction("monitor", None, 10_000, 0, "Promoted")


def test_the_longest_advice_of_several_counts() -> None:
    metadata = parse(XML)
    advised = {
        action: metadata.advised_ms(action) for action in ("start", "stop", "monitor", "validate-all", "promote")
    }
    assert advised == {"start": 90_000, "stop": 120_000, "monitor": 30_000, "validate-all": None, "promote": None}


def test_an_agent_that_lacks_an_action_says_which() -> None:
    assert parse(XML).lacks == ()
    assert parse(XML.replace('"stop"', '"halt"')).lacks == ("stop",)
    assert not parse(XML).promotable
    assert parse(XML.replace('"meta-data"', '"promote"').replace('"validate-all"', '"demote"')).promotable


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("20", 20_000),
        ("20s", 20_000),
        ("1.5min", 90_000),
        ("500ms", 500),
        ("2 h", 7_200_000),
        ("soon", None),
        ("", None),
    ],
)
def test_times_as_agents_write_them(text: str, ms: float | None) -> None:
    assert duration_ms(text) == ms
    assert duration_ms(None) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wrote no XML"),
        ("usage: rack {start|stop}", "wrote no XML"),
        ("<resource-agent name='x'>", "is broken"),
        ("<html/>", "is a <html>"),
        ("<resource-agent/>", "does not say its name"),
        ("<resource-agent name='x'/>", "names no action"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><resource-agent name="x"/>', "defines entities"),
        (f"<resource-agent name='x'>{' ' * 1_000_001}</resource-agent>", "more than 1000000 characters"),
    ],
)
def test_what_is_no_metadata_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MetadataError, match=reason):
        parse(text)


@given(st.text(max_size=300) | st.builds("<resource-agent name='x'>{}</resource-agent>".format, st.text(max_size=200)))
def test_whatever_an_agent_writes_is_metadata_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text), OcfMetadata)
    except MetadataError as error:
        assert str(error)
