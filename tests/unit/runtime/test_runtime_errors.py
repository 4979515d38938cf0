"""A refusal keeps the engine's own words and becomes the fault that they stand for."""

import pytest

from controller.runtime.errors import (
    Conflict,
    EngineError,
    ImageNotFound,
    NetworkExhausted,
    NotFound,
    PortTaken,
    SubnetTaken,
    refusal,
    taken_port,
)

PROGRAMMING = "driver failed programming external connectivity on endpoint chal-x (4c6f): "

TAKEN = [
    (PROGRAMMING + "Bind for 0.0.0.0:18080 failed: port is already allocated", 18080),
    (PROGRAMMING + "Bind for :::18081 failed: port is already allocated", 18081),
    (PROGRAMMING + "Bind for [::]:18082 failed: port is already allocated", 18082),
    (
        PROGRAMMING + "Error starting userland proxy: listen tcp4 0.0.0.0:18083: bind: "
        "address already in use",
        18083,
    ),
    (
        PROGRAMMING + "Error starting userland proxy: listen udp 127.0.0.1:53: bind: "
        "address already in use",
        53,
    ),
    (
        "failed to set up container networking: " + PROGRAMMING + "failed to bind host port for "
        "0.0.0.0:18084:172.17.0.2:80/tcp: address already in use",
        18084,
    ),
    (
        PROGRAMMING + "failed to bind host port 127.0.0.1:18085/tcp: address already in use",
        18085,
    ),
    ("listen tcp6 [::]:18086: bind: address already in use", 18086),
    ("failed to bind host port for [::]:18087:[fd00::2]:80/tcp: address already in use", 18087),
    ("listen tcp 0.0.0.0:0: bind: address already in use", None),
    ("Bind for 0.0.0.0:99999 failed: port is already allocated", None),
    ("address already in use", None),
]


@pytest.mark.parametrize(("message", "port"), TAKEN)
def test_a_taken_port_is_read_from_the_engines_words(message: str, port: int | None) -> None:
    fault = refusal(500, message)
    assert isinstance(fault, PortTaken)
    assert fault.port == port == taken_port(message)
    assert fault.message == message


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: chal-x", NotFound),
        (404, "network chal-x not found", NotFound),
        (404, "No such image: web:1", ImageNotFound),
        (409, 'Conflict. The container name "/chal-x" is already in use', Conflict),
        (409, "removal of container 4c6f is already in progress", Conflict),
        (403, "Pool overlaps with other one on this address space", SubnetTaken),
        (
            404,
            "could not find an available, non-overlapping IPv4 address pool among the defaults to "
            "assign to the network",
            NetworkExhausted,
        ),
        (500, "all predefined address pools have been fully subnetted", NetworkExhausted),
        (
            500,
            "no available IPv4 addresses on this network's address pools: chal-x",
            NetworkExhausted,
        ),
        (500, "adding interface veth1 to bridge br-1 failed: exchange full", NetworkExhausted),
        (500, 'OCI runtime create failed: exec: "/x": no such file', EngineError),
        (400, "invalid reference format", EngineError),
    ],
)
def test_each_refusal_has_its_fault(status: int, message: str, kind: type[EngineError]) -> None:
    fault = refusal(status, message)
    assert type(fault) is kind
    assert fault.message == message == str(fault)
    assert fault.status == status


def test_a_missing_image_is_named() -> None:
    fault = refusal(404, "No such image: team/web:1")
    assert isinstance(fault, ImageNotFound)
    assert fault.image == "team/web:1"
