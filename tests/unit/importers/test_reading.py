"""HAProxy's syntax: words, sections, conditions; single lines by pyhaproxy and by ourselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hactl.config.errors import ConfigErrors
from hactl.haproxy.diff.parse import sections
from hactl.haproxy.diff.statements import read_by_words, read_statement
from hactl.haproxy.split_words import WordError, split_line
from hactl.haproxy.words import SECTIONS, line_words
from hactl.importers.haproxy.durations import canonical, to_ms, to_setting
from hactl.importers.haproxy.server_words import overlaid, params
from hactl.importers.haproxy.source import read_source
from tests.support.haproxy_servers import read_servers

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize(
    ("line", "raw", "values"),
    [
        ("  timeout \t client 5s  # why", ["timeout", "client", "5s"], ["timeout", "client", "5s"]),
        ("a b#c", ["a", "b"], ["a", "b"]),
        (r"a b\#c\ d", ["a", r"b\#c\ d"], ["a", "b#c d"]),
        (
            """x 'a "b" \\n' "it's $HOME" """,
            ["x", """'a "b" \\n'""", '"it\'s $HOME"'],
            ["x", 'a "b" \\n', "it's $HOME"],
        ),
        (r'x "a\"b\$c\n" \x41\x7e', ["x", r'"a\"b\$c\n"', r"\x41\x7e"], ["x", 'a"b$c\n', "A~"]),
        ('x ""', ["x", '""'], ["x", ""]),
        ('x a"b c"d', ["x", 'a"b c"d'], ["x", "ab cd"]),
        (r"acl a path_reg ^/\d+", ["acl", "a", "path_reg", r"^/\d+"], ["acl", "a", "path_reg", r"^/\d+"]),
        ("# nothing", [], []),
        ("a\vb\fc\rd\r", ["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        (r'"a\ b" "c\'d"', [r'"a\ b"', r'"c\'d"'], ["a b", "c'd"]),
        ("a b\\", ["a", "b\\\\"], ["a", "b\\"]),
        ("a\u00a0b \udce9", [r"a\xC2\xA0b", r"\xE9"], ["a\udcc2\udca0b", "\udce9"]),
        ("'\x85'", [r"''\xC2\x85''"], ["\udcc2\udc85"]),
    ],
)
def test_words(line: str, raw: list[str], values: list[str]) -> None:
    words = split_line(line)
    assert ([word.raw for word in words], [word.value for word in words]) == (raw, values)
    assert [word.plain for word in words] == [a == b for a, b in zip(raw, values, strict=True)]


@pytest.mark.parametrize(
    ("line", "why"), [("a 'b", "no end"), (r"a \x00", "ends the word"), (r"a \xg0", "hexadecimal")]
)
def test_a_line_that_haproxy_would_not_take(line: str, why: str) -> None:
    with pytest.raises(WordError, match=why):
        split_line(line)
    with pytest.raises(ConfigErrors) as refused:
        read_source(f"global\n{line}\n", "x.cfg", SECTIONS)
    assert str(refused.value).startswith("x.cfg:2:1: ")


@pytest.mark.parametrize("letter", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\udc85", "\r"])
def test_a_line_ends_where_haproxy_ends_it(letter: str) -> None:
    text = (
        f"listen a\n server s 192.0.2.1:1 # was{letter} server old 192.0.2.2:2\r\n # x{letter}server older 192.0.2.3\n"
    )
    (section,) = read_source(text, "x", SECTIONS).sections
    assert [line.text for line in section.lines] == ["server s 192.0.2.1:1"]
    assert [server.name for server in read_servers(text.replace(" # was", " #was"))["a"]] == ["s"]


def test_limits_on_the_input_of_haproxy_are_refused() -> None:
    with pytest.raises(ConfigErrors, match=r"x:2:1: .*scope"):
        read_source("global\n[here]\n", "x", SECTIONS)


def test_sections() -> None:
    text = "loose\nglobal\n no option x\ndefaults\nfrontend f from d # c\n bind :80\nlisten l :1,:2 from d\ntimeout\n"
    source = read_source(text, "x", SECTIONS)
    assert [line.text for line in source.loose] == ["loose"]
    assert [(section.kind, section.name, section.parent) for section in source.sections] == [
        ("global", "", ""),
        ("defaults", "", ""),
        ("frontend", "f", "d"),
        ("listen", "l", "d"),
    ]
    assert [word.value for word in source.sections[3].arguments] == [":1,:2"]
    line = source.sections[0].lines[0]
    assert (line.number, line.prefix, line.keyword, line.text) == (3, "no", "option", "no option x")
    assert sum(1 for _ in source.directives()) == 4


def test_a_condition_within_a_section_stays_there_and_one_around_sections_is_one() -> None:
    text = "frontend f\n.if a\n bind :1\n.if b\n.endif\n.else\n bind :2\n.endif\n bind :3\n"
    text += ".if c\nring r\n size 1\n.endif\n"
    inner, outer = read_source(text, "x", SECTIONS).sections
    assert [(line.number, line.literal) for line in inner.lines] == [*((n, True) for n in range(2, 9)), (9, False)]
    assert (outer.kind, len(outer.lines)) == (".if", 4)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("global\n.if a\n", 2, "has no `.endif`"),
        ("global\n.else\n", 2, "without `.if`"),
        ("listen a\n.if x\n bind :1\nlisten b\n.endif\n", 2, "begins inside one section"),
        (".if x\ndefaults\n mode http\n.endif\n", 2, "inside a condition"),
        (".if x\nring r\n.endif\n size 1\n", 4, "that a condition above it"),
        ("global\n a\0b\n", 2, "NUL"),
    ],
)
def test_a_condition_that_cannot_be_kept_is_refused_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        read_source(text, "x", SECTIONS)
    problem = refused.value.problems[0]
    assert problem.place and problem.place.line == line and why in problem.problem


@pytest.mark.parametrize(
    ("line", "name", "address", "port", "words", "by_library"),
    [
        ("server s 10.0.0.1:80 check inter 1s", "s", "10.0.0.1", "80", ("check", "inter", "1s"), True),
        ("server s host.example", "s", "host.example", "", (), True),
        ("server s [2001:db8::1]:80 check", "s", "2001:db8::1", "80", ("check",), False),
        ("server s 2001:db8::1:80", "s", "2001:db8::1", "80", (), False),
        ("server s [::1]", "s", "::1", "", (), False),
        ("server s 10.0.0.1:+1000 check", "s", "10.0.0.1:+1000", "", ("check",), False),
        ("server s /run/x.sock", "s", "/run/x.sock", "", (), False),
        ("bind *:80,*:81 ssl", "", "*:80,*:81", "", ("ssl",), False),
        ("bind 10.0.0.1:80 ssl crt x", "", "10.0.0.1", "80", ("ssl", "crt", "x"), True),
        ("bind :80", "", "", "80", (), False),
        ("acl a path_beg /x", "a", "", "", ("path_beg", "/x"), True),
        ("use_backend b if { path /x }", "b", "", "", ("if", "{", "path", "/x", "}"), True),
        ("default_backend b", "b", "", "", (), True),
        ("user joe password $5$x groups a,b", "joe", "", "", ("password", "$5$x", "groups", "a,b"), True),
        ("timeout client 5s", "", "", "", ("client", "5s"), True),
        ("daemon", "", "", "", (), True),
    ],
)
def test_a_line_taken_apart(
    line: str, name: str, address: str, port: str, words: tuple[str, ...], by_library: bool
) -> None:
    statement = read_statement(line.split())
    assert statement.keyword == line.split(maxsplit=1)[0] and statement.by_library is by_library
    assert (statement.name, statement.address, statement.port, statement.words) == (name, address, port, words)


def test_pyhaproxy_and_our_own_reading_say_the_same() -> None:
    files = [*GOLDEN.rglob("*.cfg"), *GOLDEN.rglob("*.rendered")]
    lines = {
        tuple(line_words(line)) for file in files for section in sections(file.read_text()) for line in section.lines
    }
    read = {line: read_statement(line) for line in lines}
    assert sum(statement.by_library for statement in read.values()) > len(lines) / 2
    assert {line: replace(statement, by_library=False) for line, statement in read.items()} == {
        line: read_by_words(line) for line in lines
    }


def test_words_of_a_server() -> None:
    behind = params(split_line("check inter 2s slowstart 1s"))
    own = params(split_line("no-check inter 1s slowstart 2s source 1.2.3.4 usesrc client interface lo mystery 1 2"))
    held = [statement.text for statement in overlaid(behind, own)]
    assert held == ["no-check", "inter 1s", "slowstart 2s", "source 1.2.3.4 usesrc client interface lo", "mystery 1 2"]


def test_durations() -> None:
    assert [to_ms(text) for text in ("5000", "10s", "1m", "2d", "1500us", "0", "x", "1.5s")] == [
        *(5000, 10_000, 60_000, 172_800_000, None, None, None, None)
    ]
    assert (to_ms("5", "s"), to_setting("5000"), to_setting("90s")) == (5000, "5s", "90s")
    assert (canonical("10s"), canonical("10"), canonical("10", bare=True)) == ("10000000us", "10", "10000us")
