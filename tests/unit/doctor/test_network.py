"""Names, API and broker: what failures come to, and what is asked at all. The wire itself: tests/e2e/test_doctor.py."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import box_at, paused, put, status, unprivileged
from ucm_provision.core.errors import FAILURES, Code, UcmError
from ucm_provision.discovery.interfaces import Address
from ucm_provision.doctor import api, broker, dns, mdns
from ucm_provision.doctor.dns import Lookup
from ucm_provision.doctor.finding import Finding, Level
from ucm_provision.doctor.mdns import Heard, Trial
from ucm_provision.wire import StatusView

API = '[api]\nurl = "{url}"\n'


# ---- names ---------------------------------------------------------------------------------------


def test_a_name_that_resolves() -> None:
    found = dns.judge("broker", Lookup("broker.example", ("192.0.2.7", "2001:db8::7")))
    assert (found.level, found.summary) == (Level.OK, "broker.example (broker) is 192.0.2.7, 2001:db8::7.")


@pytest.mark.parametrize(
    ("whose", "code"), [("provisioning API", Code.API_UNREACHABLE), ("broker", Code.BROKER_DNS_FAILED)]
)
def test_a_name_that_does_not(whose: str, code: Code) -> None:
    found = dns.judge(whose, Lookup("x.example", failure="Name or service not known"))
    assert (found.level, found.code) == (Level.PROBLEM, code)
    assert f"x.example, the name of the {whose}, does not resolve: Name or service not known." in found.summary


def test_this_machine_s_own_name_resolves() -> None:
    assert "127.0.0.1" in dns.resolve("localhost").addresses


@pytest.mark.parametrize("host", ["no\ud800name", "a" * 300])
def test_what_is_no_name_is_told(host: str) -> None:
    assert dns.resolve(host).failure


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def late(*_: object, **__: object) -> list[object]:
        answers.wait(10.0)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", late)
    monkeypatch.setattr(dns, "_DEADLINE", 0.05)
    found = dns.resolve("silent.example")
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == "resolving silent.example"]
    answers.set()
    waiting.join(10.0)
    assert found.failure == "no name server has answered in 0.05 s"
    assert waiting.daemon


@pytest.mark.parametrize(("host", "is_address"), [("192.0.2.1", True), ("fe80::1%eth0", True), ("a.example", False)])
def test_addresses_need_no_name_server(host: str, *, is_address: bool) -> None:
    assert dns.is_address(host) is is_address


def test_whose_names_are_asked(tmp_path: Path) -> None:
    put(tmp_path, "/etc/ucm-provision/witness.json", json.dumps({"mqtt_host": "localhost"}))
    box = box_at(tmp_path, API.format(url="http://localhost:1/api") + '[broker]\nwitness = "witness.json"\n')
    assert [found.summary.partition(" is ")[0] for found in dns.check(box)] == [
        "localhost (provisioning API)",
        "localhost (broker)",
    ]


def test_the_running_daemon_knows_best_which_api_it_is(tmp_path: Path) -> None:
    box = box_at(tmp_path, API.format(url="gateway"), says=status())
    assert (dns.api_url(box), dns.api_host(box)) == ("https://192.0.2.1", "192.0.2.1")


@pytest.mark.parametrize("url", ["gateway", "https://[", "nonsense"])
def test_no_name_is_asked_where_there_is_none(tmp_path: Path, url: str) -> None:
    (found,) = dns.check(box_at(tmp_path, API.format(url=url)))
    assert (found.level, found.summary) == (Level.OK, "No name has to be resolved.")


def test_without_a_configuration_no_name_is_asked(tmp_path: Path) -> None:
    """The default is the platform's API: a box that has nothing to do with it must not speak to it."""
    assert dns.api_url(box_at(tmp_path, "[nonsense]\n")) == ""


def test_what_replaces_the_broker_s_name_counts(tmp_path: Path) -> None:
    assert dns.broker_host(box_at(tmp_path, '[override]\nmqtt_host = "192.0.2.9"\n')) == "192.0.2.9"


@pytest.mark.parametrize("content", ["", "[]", '{"mqtt_host": 7}', "{}", "\xff"])
def test_a_witness_file_that_is_none_names_no_broker(tmp_path: Path, content: str) -> None:
    put(tmp_path, "/etc/ucm-provision/witness.json", content)
    assert dns.broker_host(box_at(tmp_path, '[broker]\nwitness = "witness.json"\n')) == ""


# ---- the API -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code in Code if code.value.startswith("api_")])
def test_what_the_api_s_failures_come_to(code: Code) -> None:
    found = api.judge("https://api.example", UcmError(code, "its words"), "put another")
    assert (found.level, found.code) == (Level.PROBLEM, code)
    assert found.summary.startswith(("The provisioning API https://api.example", "The certificate of the provisioning"))
    assert found.summary.endswith(": its words.")
    assert found.mend == ("put another" if code is Code.API_UNAUTHORIZED else "")
    assert "module" not in found.summary  # none has been spoken of


def test_the_gateway_that_was_accepted_needs_no_address() -> None:
    found = api.judge("", UcmError(Code.API_UNREACHABLE))
    assert found.summary == "The provisioning API cannot be reached."


@pytest.mark.parametrize("code", [Code.API_UNAUTHORIZED, Code.API_UNREACHABLE])
def test_what_the_running_daemon_waits_for_is_told_and_nobody_else_is_asked(tmp_path: Path, code: Code) -> None:
    (found,) = api.check(box_at(tmp_path, API.format(url="https://192.0.2.1"), says=status(paused=paused(code))))
    assert (found.level, found.details[0]) == (Level.PROBLEM, str(UcmError(code)))


def test_a_token_that_is_refused_is_replaced_by_the_command(tmp_path: Path) -> None:
    toml = f'[api]\nurl = "https://192.0.2.1"\ntoken_file = "{tmp_path}/token"\n'
    (found,) = api.check(box_at(tmp_path, toml, says=status(paused=paused(Code.API_UNAUTHORIZED))))
    assert found.mend == f"sudo install -D -m 600 /dev/stdin {tmp_path}/token"
    assert "Ctrl-D" in found.details[1]


def test_a_name_that_does_not_resolve_is_not_tried(tmp_path: Path) -> None:
    (found,) = api.check(box_at(tmp_path, API.format(url="https://nowhere.invalid")))
    assert (found.level, found.summary) == (
        Level.SKIPPED,
        "https://nowhere.invalid was not tried: its name does not resolve.",
    )


def test_no_gateway_is_accepted_yet(tmp_path: Path) -> None:
    (found,) = api.check(box_at(tmp_path, API.format(url="gateway")))
    assert (found.level, found.code, found.mend) == (Level.PROBLEM, Code.API_NOT_CHOSEN, "ucmctl api show")


def test_the_choice_of_a_gateway_is_closed_to_others_than_root(public: Path) -> None:
    put(public, "/state/gateway.json", "{}").parent.chmod(0o700)
    box = box_at(public, API.format(url="gateway"))
    with unprivileged():
        (found,) = api.check(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_without_a_configuration_no_api_is_tried(tmp_path: Path) -> None:
    (found,) = api.check(box_at(tmp_path, "[nonsense]\n"))
    assert found.level is Level.SKIPPED


def test_a_running_daemon_s_api_is_looked_at_though_the_configuration_cannot_be_had(tmp_path: Path) -> None:
    with silent() as port:
        (found,) = api.check(box_at(tmp_path, "[nonsense]\n", says=status(api={"url": f"http://127.0.0.1:{port}"})))
    assert (found.level, found.summary) == (
        Level.OK,
        f"http://127.0.0.1:{port} is reached, and the daemon has no complaint about it.",
    )


def test_an_address_that_is_none_is_left_to_the_configuration_s_check(tmp_path: Path) -> None:
    token = put(tmp_path, "/token", "t" * 64)
    (found,) = api.check(box_at(tmp_path, f'[api]\nurl = "http://192.0.2.1"\ntoken_file = "{token}"\n'))
    assert found.level is Level.SKIPPED


@pytest.mark.parametrize("site", ["", '[site]\nid = "site-1"\n'])
def test_an_api_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    monkeypatch.setattr(api, "_DEADLINE", 0.3)
    token = put(tmp_path, "/token", "t" * 64)
    with silent() as port:
        toml = f'[api]\nurl = "http://127.0.0.1:{port}"\ntoken_file = "{token}"\n{site}'
        (found,) = api.check(box_at(tmp_path, toml))
    assert (found.level, found.code) == (Level.PROBLEM, Code.API_UNREACHABLE)
    assert found.summary.endswith("cannot be reached: no answer in 0.3 s.")


@contextmanager
def silent() -> Iterator[int]:
    """The port of somebody who takes connections, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# ---- the broker ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code in Code if code.value.startswith("broker_")])
def test_what_the_broker_s_failures_come_to(code: Code) -> None:
    found = broker.judge("broker.example port 8883", UcmError(code, "its words"))
    assert (found.level, found.code) == (Level.PROBLEM, code)
    assert found.summary.endswith("(broker.example port 8883): its words.")
    assert FAILURES[code].sentence not in found.summary  # which speaks of a module's new credentials


def test_the_running_daemon_s_witness_has_the_broker(tmp_path: Path) -> None:
    (found,) = broker.check(box_at(tmp_path, says=status()))
    assert (found.level, found.summary) == (Level.OK, "The daemon's witness is connected to the broker.")


def test_no_witness_no_broker(tmp_path: Path) -> None:
    (found,) = broker.check(box_at(tmp_path))
    assert found.level is Level.OK


@pytest.mark.parametrize("content", [None, "", "{}", '{"mqtt_host": "x"}'])
def test_a_witness_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        put(tmp_path, "/etc/ucm-provision/witness.json", content)
    (found,) = broker.check(box_at(tmp_path, '[broker]\nwitness = "witness.json"\n'))
    assert (found.level, found.code) == (Level.PROBLEM, Code.NOT_SEEN)


def test_a_witness_file_that_is_closed_is_left_to_root(public: Path) -> None:
    put(public, "/etc/ucm-provision/witness.json", "{}").chmod(0)
    box = box_at(public, '[broker]\nwitness = "witness.json"\n')
    with unprivileged():
        (found,) = broker.check(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


WITNESS = {
    "mqtt_host": "127.0.0.1",
    "mqtt_protocol": "MQTT",
    "mqtt_credentials": {"username": "witness", "password": "a secret of the witness"},
}


def witnessed(folder: Path, says: StatusView | None, **changes: object) -> Finding:
    put(folder, "/etc/ucm-provision/witness.json", json.dumps(WITNESS | changes))
    (found,) = broker.check(box_at(folder, '[broker]\nwitness = "witness.json"\n', says=says))
    assert "a secret" not in repr(found)
    return found


def test_a_broker_that_answers_while_the_daemon_s_witness_does_not_get_on_with_it(tmp_path: Path) -> None:
    with silent() as port:
        found = witnessed(tmp_path, status(witness="The witness has no use of the broker."), mqtt_port=port)
    assert (found.level, found.details) == (Level.WARN, ("The witness has no use of the broker.",))
    assert found.summary.startswith(f"The broker answers at 127.0.0.1 port {port}.")


def test_a_broker_whose_name_does_not_resolve_is_not_tried(tmp_path: Path) -> None:
    found = witnessed(tmp_path, None, mqtt_host="nowhere.invalid", mqtt_port=1883)
    assert (found.level, found.summary) == (Level.SKIPPED, "nowhere.invalid was not tried: its name does not resolve.")


def test_a_broker_that_the_configuration_names_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        box = box_at(tmp_path, f'[override]\nmqtt_host = "127.0.0.1"\nmqtt_port = {port}\n')
        (answers,) = broker.check(box)
    (refuses,) = broker.check(box)
    assert (answers.level, answers.summary) == (Level.OK, f"The broker answers at 127.0.0.1 port {port}.")
    assert (refuses.level, refuses.code) == (Level.PROBLEM, Code.BROKER_REFUSED)


# ---- mDNS ----------------------------------------------------------------------------------------

OPEN = "sudo ufw allow 5353/udp"


@pytest.mark.parametrize(
    ("trials", "wanted", "levels", "mend"),
    [
        ([Trial("eth0", Heard.ITSELF)], [], ["ok"], ""),
        ([Trial("eth0", Heard.ITSELF), Trial("wlan0", Heard.NOTHING)], [], ["ok", "problem"], OPEN),
        ([Trial("eth0", Heard.NOT_SENT)], [], ["problem"], OPEN),
        ([Trial("eth0", Heard.PORT_TAKEN)], [], ["problem"], "sudo ss -ulpn 'sport = :5353'"),
        ([], ["192.0.2.7"], ["problem"], ""),
        ([], [], ["warn"], ""),
    ],
)
def test_what_is_heard_on_the_lan(trials: list[Trial], wanted: list[str], levels: list[str], mend: str) -> None:
    found = list(mdns.judge(trials, wanted, OPEN))
    assert [each.level.value for each in found] == levels
    assert found[-1].mend == mend


def test_a_firewall_that_nobody_knows_is_hinted_at() -> None:
    (found,) = mdns.judge([Trial("eth0", Heard.NOTHING)], [], "")
    assert (found.mend, len(found.details)) == ("", 1)
    assert "nft list ruleset" in found.details[0]


def test_mdns_that_is_switched_off(tmp_path: Path) -> None:
    (found,) = mdns.check(box_at(tmp_path, "[lan]\nmdns = false\n"))
    assert found.level is Level.OK


def test_an_address_that_this_box_does_not_have(tmp_path: Path) -> None:
    (found,) = mdns.check(box_at(tmp_path, '[lan]\ninterfaces = ["192.0.2.250"]\n'))
    assert found.level is Level.PROBLEM
    assert "192.0.2.250" in found.summary


@pytest.mark.parametrize(
    ("file", "text", "mend"),
    [
        ("/etc/ufw/ufw.conf", "# x\nENABLED=yes\n", OPEN),
        ("/etc/ufw/ufw.conf", "ENABLED=no\n", ""),
        (
            "/proc/9/comm",
            "firewalld\n",
            "sudo firewall-cmd --permanent --add-service=mdns && sudo firewall-cmd --reload",
        ),
    ],
)
def test_the_firewall_s_own_command(tmp_path: Path, file: str, text: str, mend: str) -> None:
    put(tmp_path, file, text)
    assert mdns.firewall(box_at(tmp_path)) == mend


def test_one_trial_for_each_interface() -> None:
    found = [
        Address("eth0", 2, ip_address("fe80::1"), ip_network("fe80::/64")),
        Address("eth0", 2, ip_address("192.0.2.1"), ip_network("192.0.2.0/24")),
        Address("wlan0", 3, ip_address("fe80::2"), ip_network("fe80::/64")),
    ]
    assert [str(each.ip) for each in mdns.one_each(tuple(found))] == ["192.0.2.1", "fe80::2"]
