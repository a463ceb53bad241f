"""When a HAProxy that does not answer is hung, and when it is only busy, or nobody at home."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hactl.haproxy.control.pulse import BUSY_S, HUNG_S, TIMEOUT_S, Pulse, Silence

SILENT = "HAProxy did not answer"

pulses = st.lists(
    st.tuples(st.floats(0.1, 3.0), st.sampled_from(["", SILENT]), st.booleans(), st.booleans(), st.booleans()),
    max_size=80,
)


def seen(*problems: Pulse) -> Silence:
    silence = Silence()
    for problem in problems:
        silence.see(problem)
    return silence


def test_an_idle_one_that_does_not_answer_is_hung_after_some_seconds() -> None:
    silence = seen(Pulse(0.0), Pulse(1.0, SILENT), Pulse(1.0 + TIMEOUT_S, SILENT))
    assert not silence.hung(1.0 + HUNG_S - 0.01)
    assert silence.hung(1.0 + HUNG_S)


def test_a_busy_one_has_more_time_but_not_without_end() -> None:
    silence = seen(*(Pulse(float(second), SILENT, busy=True) for second in range(30)))
    assert not silence.hung(BUSY_S - 0.01)
    assert silence.hung(BUSY_S)


def test_one_answer_is_enough() -> None:
    assert not seen(Pulse(0.0, SILENT), Pulse(100.0)).hung(1000.0)


def test_a_daemon_that_did_not_get_to_run_concludes_nothing() -> None:
    silence = seen(Pulse(0.0, SILENT), Pulse(2.0, SILENT, late=True))
    assert not silence.problem
    assert not silence.hung(1000.0)


def test_a_socket_that_is_gone_is_told_but_no_reason_to_kill() -> None:
    silence = seen(*(Pulse(float(second), "no such file", absent=True) for second in range(100)))
    assert silence.problem == "no such file"
    assert not silence.hung(1000.0)


@given(pulses)
def test_nothing_is_hung_that_answered_within_the_time(looks: list[tuple[float, str, bool, bool, bool]]) -> None:
    silence, now, answered = Silence(), 0.0, 0.0
    for wait, problem, busy, late, absent in looks:
        now += wait
        silence.see(Pulse(now, problem, busy, late, absent))
        if not problem or late or absent:
            answered = now
        if silence.hung(now):
            assert now - answered >= HUNG_S
