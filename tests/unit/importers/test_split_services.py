"""A frontend and a backend of one name: one service, or two, or words."""

from __future__ import annotations

import pytest

from tests.support.haproxy_import import imported

SERVERS = " server a 192.0.2.1:80\n server b 192.0.2.2:80\n"
FRONT_X = "frontend x\n mode http\n bind 127.0.0.1:1\n"
BACK_X = "backend x\n mode http\n server s1 192.0.2.1:80\n"


def test_a_frontend_and_its_backend_of_one_name() -> None:
    front = "frontend x\n bind 127.0.0.1:1\n default_backend x\n log global\n"
    back = "backend x\n log global\n http-request deny\n" + SERVERS
    (split,) = imported(front + back).document["services"]
    assert (split["kind"], split["extra"], "default_backend" in split) == ("split", ["http-request deny"], False)
    for other in (back.replace(" log global\n", ""), back + " timeout tarpit 1s\n", "defaults\n" + back):
        document = imported(front + other).document
        assert [(entry["name"], entry["kind"]) for entry in document["services"]] == [
            ("x-front", "frontend"),
            ("x", "backend"),
        ]
        assert "sections" not in document["haproxy"]


@pytest.mark.parametrize(
    ("text", "services", "raw"),
    {
        "the backend first": (BACK_X + FRONT_X + " default_backend x\n", ["x split"], 0),
        "the mode is inherited": (
            "defaults\n mode http\n" + FRONT_X.replace(" mode http\n", "") + " default_backend x\n" + BACK_X,
            ["x split"],
            0,
        ),
        "it leads elsewhere": (
            FRONT_X + " default_backend y\n" + BACK_X + BACK_X.replace("x", "y"),
            ["x-front frontend", "x backend", "y backend"],
            0,
        ),
        "chosen by a rule": (FRONT_X + " use_backend x if TRUE\n" + BACK_X, ["x-front frontend", "x backend"], 0),
        "the new name is taken": (
            FRONT_X + " default_backend x\n" + BACK_X + "frontend x-front\n mode http\n bind :2\n default_backend x\n",
            ["x-front-2 frontend", "x split"],
            0,
        ),
        "a rule looks at the frontend": (
            FRONT_X + " default_backend x\n" + BACK_X + " http-request deny if { fe_conn(x) gt 5 }\n",
            ["x backend"],
            1,
        ),
        "its table has its name": (
            FRONT_X
            + " stick-table type ip size 1 expire 1s\n http-request track-sc0 src table x\n default_backend x\n"
            + BACK_X,
            ["x backend"],
            1,
        ),
        "a condition for `stick` of the backend's own": (
            FRONT_X + " default_backend x\n" + BACK_X
            + " acl a src 10.0.0.1\n stick-table type ip size 1 expire 1s\n stick on src if a\n",
            ["x-front frontend", "x backend"],
            0,
        ),
        "a bind that no service can have": (
            FRONT_X + " .if defined(X)\n bind :2\n .endif\n default_backend x\n" + BACK_X,
            ["x split"],
            0,
        ),
        "a part that no service can have": (
            FRONT_X.replace(" bind 127.0.0.1:1\n", ' bind "$ADDRESS"\n') + " default_backend x\n" + BACK_X,
            ["x backend"],
            1,
        ),
    }.values(),
)  # fmt: skip
def test_the_backend_keeps_the_name_and_stays_a_service(text: str, services: list[str], raw: int) -> None:
    result = imported(text)
    assert [f"{entry['name']} {entry.get('kind', 'listen')}" for entry in result.document["services"]] == services
    assert len(result.document["haproxy"].get("sections", [])) == raw and result.whole
