"""What agents say of themselves, as XML."""

from __future__ import annotations

import pytest

from fencing.agents.description import MetadataError
from fencing.agents.metadata import ActionInfo, Metadata, Parameter, parse

XML = """<?xml version="1.0" ?>
<resource-agent name="fence_rack" shortdesc="For racks" >
<symlink name="fence_shelf" shortdesc="For shelves"/>
<longdesc>Switches
  a rack &amp; its shelves.</longdesc>
<vendor-url></vendor-url>
<parameters>
    <parameter name="ip" unique="0" required="1" obsoletes="ipaddr">
        <getopt mixed="-a, --ip=[ip]" />
        <content type="string"  />
        <shortdesc lang="en">Where it is</shortdesc>
    </parameter>
    <parameter name="ipaddr" unique="0" required="1" deprecated="1">
        <content type="string"  />
    </parameter>
    <parameter name="plug" unique="0" required="1" obsoletes="port"><content type="string"/></parameter>
    <parameter name="port" unique="0" required="1" deprecated="1"><content type="string"/></parameter>
    <parameter name="auth" unique="0" required="0">
        <content type="select" default="md5" ><option value="md5" /><option value="none" /></content>
        <shortdesc lang="en">How it knows us</shortdesc>
    </parameter>
    <parameter name="power_wait" required="0"><content type="second" default="0"/></parameter>
    <parameter name="tls-key" required="0"><shortdesc>Authentication key</shortdesc></parameter>
</parameters>
<actions>
    <action name="on" on_target="1" automatic="1"/>
    <action name="off" />
    <action name="status" />
</actions>
</resource-agent>
"""


def test_all_of_it() -> None:
    metadata = parse(XML)
    assert metadata == Metadata(
        name="fence_rack",
        summary="For racks",
        description="Switches a rack & its shelves.",
        parameters=(
            Parameter("ip", required=True, replaces="ipaddr", description="Where it is"),
            Parameter("ipaddr", required=True, deprecated=True),
            Parameter("plug", required=True, replaces="port"),
            Parameter("port", required=True, deprecated=True),
            Parameter("auth", "select", default="md5", choices=("md5", "none"), description="How it knows us"),
            Parameter("power_wait", "second", default="0"),
            Parameter("tls-key", description="Authentication key"),
        ),
        actions=(ActionInfo("on", automatic=True, on_target=True), ActionInfo("off"), ActionInfo("status")),
    )


def test_what_follows_from_it() -> None:
    metadata = parse(XML)
    old = metadata.parameter("ipaddr")
    assert old and metadata.newer_name(old) == "ip"
    assert metadata.parameter("tls_key") == metadata.parameter("tls-key") is not None
    assert metadata.parameter("tls") is None
    assert (metadata.plug_option, metadata.plug_required, metadata.verifiable) == ("plug", True, True)
    assert metadata.unfencing == ActionInfo("on", automatic=True, on_target=True)
    assert metadata.secret_names == {"tls-key"}
    assert metadata.can("off") and not metadata.can("reboot")


def test_one_program_under_several_names() -> None:
    assert parse(XML.replace('name="fence_rack"', 'name="fence_shelf"')).summary == "For shelves"


def test_without_plugs_or_status() -> None:
    text = (
        '<resource-agent name="fence_one"><actions><action name="off"/><action name="on"/></actions></resource-agent>'
    )
    metadata = parse(text)
    assert (metadata.plug_option, metadata.plug_required, metadata.verifiable, metadata.unfencing) == (
        None,
        False,
        False,
        None,
    )


BOMB = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n<resource-agent name="x" shortdesc="&b;"/>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no XML"),
        ("usage: fence_rack [options]", "no XML"),
        ("<html><body>502</body></html>", "<html>, not a <resource-agent>"),
        (XML[:600], "XML is broken"),
        ("<resource-agent/>", "does not say its name"),
        ('<resource-agent name="x"/>', "names no action"),
        (BOMB, "defines entities"),
        ("<!--" + "x" * 1_000_000 + "-->", "more than 1000000 characters"),
    ],
)
def test_what_is_no_metadata(text: str, reason: str) -> None:
    with pytest.raises(MetadataError, match=reason):
        parse(text)
