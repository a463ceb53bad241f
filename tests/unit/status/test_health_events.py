"""Which changes of a balancer's view become entries of the history."""

from __future__ import annotations

from hactl.status.health import ProbeHealth, ServerHealth
from hactl.status.health_events import AGAIN_S, BURST, RECOVER_S, SETTLE_S, Event, HealthEvents

UP, DOWN = ServerHealth(), ServerHealth("DOWN", check="L4CON", detail="Connection refused")
DRAINED, MAINT = ServerHealth("DRAIN", weight=0), ServerHealth("MAINT")


class Teller:
    """Shows `HealthEvents` a view second by second."""

    def __init__(self, **services: dict[str, ServerHealth]) -> None:
        self.events = HealthEvents()
        self.services = services
        self.probes: dict[str, ProbeHealth] = {}
        self.now_s = 0.0
        self.roles: set[str] = set()

    def after(self, seconds: float) -> list[Event]:
        """What is told while this time goes by."""
        noted: list[Event] = []
        for _ in range(int(seconds) + 1):
            noted += self.events.look(self.services, self.probes, self.now_s, self.roles)
            self.now_s += 1
        return noted


def three(**servers: ServerHealth) -> dict[str, ServerHealth]:
    return {**dict.fromkeys(("n1", "n2", "n3"), UP), **servers}


def test_a_cluster_that_starts_says_nothing() -> None:
    teller = Teller(**{f"s{number}": three() for number in range(200)})
    assert teller.after(60) == []


def test_one_dead_machine_is_one_entry_whatever_it_served() -> None:
    teller = Teller(**{f"s{number}": three(n2=DOWN) for number in range(200)})
    names = ", ".join(f"s{number}" for number in range(10))
    assert teller.after(60) == [
        ("server_down", {"server": "n2", "services": f"{names} and 190 more", "check": "L4CON",
                         "detail": "Connection refused"}),
    ]  # fmt: skip
    teller.services = {f"s{number}": three() for number in range(200)}
    assert [event for event, _ in teller.after(60)] == ["server_up"]


def test_each_is_told_once_and_when_it_has_lasted() -> None:
    teller = Teller(api=three(n2=DOWN))
    assert teller.after(SETTLE_S - 1) == []
    assert [event for event, _ in teller.after(60)] == ["server_down"]
    teller.services["api"] = three()
    assert teller.after(RECOVER_S - 1) == []
    assert teller.after(60) == [("server_up", {"server": "n2", "services": "api", "check": "", "detail": ""})]


def test_what_was_over_at_once_is_not_told() -> None:
    teller = Teller(api=three(n2=DOWN))
    assert teller.after(SETTLE_S - 1) == []
    teller.services["api"] = three()
    assert teller.after(60) == []
    assert not teller.events.pending()


def test_the_last_server_none_and_back() -> None:
    teller = Teller(api=three(n1=DOWN, n3=DOWN))
    assert ("service_on_last_server", {"services": "api", "server": "n2"}) in teller.after(10)
    teller.services["api"] = three(n1=DOWN, n2=DOWN, n3=DOWN)
    assert ("service_without_server", {"services": "api"}) in teller.after(10)
    teller.services["api"] = three()
    assert ("service_recovered", {"services": "api"}) in teller.after(10)


def test_what_is_taken_out_of_use_is_not_down() -> None:
    teller = Teller(api=three(n2=DRAINED), writer=three(n1=MAINT, n3=MAINT))
    assert teller.after(60) == []
    teller.services["writer"] = three(n1=MAINT, n2=MAINT, n3=MAINT)
    assert teller.after(10) == [("service_without_server", {"services": "writer"})]


def test_a_server_without_the_role_is_not_down() -> None:
    other = ServerHealth("DOWN", check="L7RSP", detail="at step 3 of tcp-check")
    teller = Teller(redis=three(n1=other, n3=other))
    teller.roles = {"redis"}
    assert teller.after(60) == []
    teller.services["redis"] = three(n1=other, n2=DOWN, n3=other)
    assert [event for event, _ in teller.after(10)] == ["server_down", "service_without_server"]
    teller.services["redis"] = three(n2=DOWN, n3=other)
    assert [event for event, _ in teller.after(10)] == ["service_recovered"]


def test_a_service_of_one_server_is_not_on_its_last() -> None:
    assert Teller(api={"only": UP}).after(60) == []


def test_what_goes_back_and_forth_is_told_less_and_less() -> None:
    teller, told = Teller(api=three()), 0
    hours = 4
    for _ in range(hours * 3600 // 20):
        teller.services["api"] = three(n2=DOWN)
        told += len(teller.after(9))
        teller.services["api"] = three()
        told += len(teller.after(9))
    assert BURST < told <= BURST + hours * 3600 / AGAIN_S + 1
    told = len(teller.after(10 * AGAIN_S))
    assert told <= 1
    teller.services["api"] = three(n2=DOWN)
    assert len(teller.after(10)) == 1


def test_events_that_the_previous_daemon_told_are_not_told_again() -> None:
    teller = Teller(api=three(n2=DOWN))
    teller.events.begin(teller.services, {}, 0.0)
    assert teller.after(60) == []
    teller.services["api"] = three()
    assert [event for event, _ in teller.after(60)] == ["server_up"]


def test_a_service_that_is_gone_is_forgotten() -> None:
    teller = Teller(api=three(n2=DOWN))
    assert len(teller.after(10)) == 1
    teller.services = {}
    assert teller.after(10) == []
    teller.services = {"api": three()}
    assert teller.after(60) == []


def test_probes() -> None:
    teller = Teller(api=three())
    teller.probes = {"api": ProbeHealth("completed", 12.0)}
    assert teller.after(10) == []
    teller.probes = {"api": ProbeHealth("failed", 3000.0, "no answer within 3 s")}
    assert teller.after(10) == [("probe_failed", {"service": "api", "ms": 3000.0, "detail": "no answer within 3 s"})]
    teller.probes = {"api": ProbeHealth("completed", 12.0)}
    assert [event for event, _ in teller.after(10)] == ["probe_completed"]
