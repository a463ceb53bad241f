"""Exit statuses of OCF agents."""

from __future__ import annotations

import pytest

from hactl.linux.run import Completed
from hactl.resources.ocf import exit_codes
from hactl.resources.ocf.outcome import Outcome, exit_reason


@pytest.mark.parametrize("probe", [True, False])
def test_every_exit_status_of_a_monitor_means_one_of_three(probe: bool) -> None:
    """By the standard's table; what it does not know has failed."""
    running = {0, 8, 190, 191}
    stopped = {7, 5} if probe else {7}
    for code in range(256):
        expected = "running" if code in running else "stopped" if code in stopped else "failed"
        assert exit_codes.health(code, probe=probe) == expected, code


def test_every_exit_status_has_words() -> None:
    texts = {code: exit_codes.words(code) for code in range(256)}
    known = {code for code, text in texts.items() if "does not know" not in text}
    assert known == {*range(10), 126, 127, 190, 191}
    assert len(set(texts.values())) == len(texts)
    assert all(text.startswith(f"exit status {code}") for code, text in texts.items())


@pytest.mark.parametrize("stop", [None, *range(10), 99])
@pytest.mark.parametrize("monitor", [None, *range(10), 99, 190, 191])
def test_what_monitor_sees_counts_and_not_what_stop_says(stop: int | None, monitor: int | None) -> None:
    expected = monitor == 7 or (monitor == 5 and stop == 0)
    assert exit_codes.is_stopped(stop, monitor) is expected


def test_a_start_is_hopeless_only_when_this_node_is_the_reason() -> None:
    assert [code for code in range(256) if exit_codes.is_hopeless(code)] == [2, 4, 5, 6]


STDERR = " INFO: begun\nocf-exit-reason:no such directory: /srv\n ERROR: giving up\n"


@pytest.mark.parametrize(
    ("action", "done", "says", "code"),
    [
        ("start", Completed(6, "", STDERR, False), "it is not configured right: no such directory: /srv", 6),
        ("start", Completed(1, "", " INFO: a\n ERROR: giving up\n\n", False), "it has failed: ERROR: giving up", 1),
        ("stop", Completed(0, "", STDERR, False), "stop: exit status 0", 0),
        ("monitor", Completed(0, "", "", False), "monitor: exit status 0: it is running", 0),
        ("monitor", Completed(77, "", "x\x1b[31m\n", False), "77, which the OCF API does not know: x [31m", 77),
        ("start", Completed(-9, "", "", True), "start did not end in time and was killed", None),
        ("start", Completed(0, "", "", True), "start did not end in time and was killed", None),
        ("stop", Completed(-11, "", "", False), "stop was killed by signal SIGSEGV", None),
    ],
)
def test_an_outcome_in_words(action: str, done: Completed, says: str, code: int | None) -> None:
    outcome = Outcome.of(action, done, probe=False)
    assert says in str(outcome)
    assert outcome.code == code


def test_the_last_reason_of_several_counts_and_is_short() -> None:
    assert exit_reason("ocf-exit-reason:one\nocf-exit-reason:two\nmore\n") == "two"
    assert exit_reason("") == ""
    assert len(exit_reason("x" * 100_000)) == 300


@pytest.mark.parametrize(
    ("code", "health", "of_role"),
    [
        (0, "running", "stopped"),
        (190, "running", "stopped"),
        (8, "running", "running"),
        (191, "running", "running"),
        (7, "stopped", "stopped"),
        (9, "failed", "failed"),
        (1, "failed", "failed"),
        (42, "failed", "failed"),
    ],
)
def test_of_what_can_be_promoted(code: int, health: str, of_role: str) -> None:
    assert exit_codes.health(code, probe=False) == health
    assert exit_codes.promoted_health(code, probe=False) == of_role
