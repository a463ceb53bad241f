"""The environment that OCF agents get."""

from __future__ import annotations

from hactl.resources.ocf import environment
from tests.support.specs import resource_spec

OPTIONS = {
    "agent": "heartbeat:pgsql",
    "parameters": {"pgport": "5432", "config": "a b'c\nd"},
    "secrets": {"monitor_password": "/etc/hactl/it's secret"},
}


def test_an_agent_gets_what_the_standard_says() -> None:
    env = environment.of_resource(resource_spec("db", "ocf", OPTIONS), "group", "n1", "/run/x")
    expected = {
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "group.db",
        "OCF_RESOURCE_TYPE": "pgsql",
        "OCF_RESOURCE_PROVIDER": "heartbeat",
        "OCF_RESKEY_pgport": "5432",
        "OCF_RESKEY_config": "a b'c\nd",
        "HA_RSCTMP": "/run/x/tmp",
        "HACTL_NODE": "n1",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["PATH"].split(":")[0] == environment.COMMANDS == env["HA_SBIN_DIR"]
    assert {"/usr/sbin", "/sbin"} <= set(env["PATH"].split(":"))


def test_no_secret_s_place_or_value_is_in_the_environment_before_an_action() -> None:
    env = environment.of_resource(resource_spec("db", "ocf", OPTIONS), "group", "n1", "/run/x")
    assert not [value for value in env.values() if "secret" in value]
    assert "OCF_RESKEY_monitor_password" not in env


def test_a_probe_has_no_interval_and_no_check_level() -> None:
    probe, monitor = environment.of_action("monitor", 5000.0), environment.of_action("monitor", 5000.4, 10_000, 20)
    assert (probe["OCF_RESKEY_CRM_meta_interval"], probe["OCF_CHECK_LEVEL"]) == ("0", "0")
    assert (monitor["OCF_RESKEY_CRM_meta_interval"], monitor["OCF_CHECK_LEVEL"]) == ("10000", "20")
    assert monitor["OCF_RESKEY_CRM_meta_timeout"] == "5000"


def test_the_guard_s_script_names_the_files_of_secrets_alone() -> None:
    script = environment.secrets_script({"password": "/etc/it's secret"})
    assert script.startswith("OCF_RESKEY_password=\"$(cat '/etc/it'\"'\"'s secret' ")


def test_resources_of_one_name_in_two_groups_have_two_names_for_their_agents() -> None:
    assert environment.instance("one", "db") != environment.instance("two", "db")


def test_of_a_resource_on_one_node_nothing_is_said_of_clones() -> None:
    env = environment.of_resource(resource_spec("db", "ocf", OPTIONS), "group", "n1", "/run/x")
    assert not [name for name in env if "clone" in name or "promot" in name or "master" in name]


def test_what_can_be_promoted_is_told_so_by_the_old_and_the_new_names() -> None:
    options = {**OPTIONS, "clone_max": 3, "promoted_max": 1}
    env = environment.of_resource(resource_spec("db", "ocf", options), "group", "n1", "/run/x")
    metas = {name.removeprefix("OCF_RESKEY_CRM_meta_"): value for name, value in env.items() if "CRM_meta" in name}
    assert metas == {
        "on_node": "n1", "clone": "0", "clone_max": "3", "clone_node_max": "1", "globally_unique": "false",
        "notify": "false", "promotable": "true", "promoted_max": "1", "promoted_node_max": "1", "master_max": "1",
        "master_node_max": "1",
    }  # fmt: skip
    plain = environment.of_resource(resource_spec("db", "ocf", options | {"promoted_max": 0}), "g", "n1", "/run/x")
    assert plain["OCF_RESKEY_CRM_meta_clone_max"] == "3"
    assert not [name for name in plain if "promot" in name or "master" in name]


def test_a_monitor_is_told_the_role_it_looks_for() -> None:
    env = environment.of_action("monitor", 5000, 10_000, role="Promoted")
    assert env["OCF_RESKEY_CRM_meta_role"] == "Promoted"
    assert "OCF_RESKEY_CRM_meta_role" not in environment.of_action("monitor", 5000)
