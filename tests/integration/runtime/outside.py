"""The world around a node for tests by packets: programs that answer, addresses that route.

All of it is in network namespaces of the bed's, so no packet leaves the machine whatever address it
is sent to.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hack.bed.network import NetworkState
from hack.bed.processes import run

_ANSWER = r'''
import socket, sys, threading

def tcp(port):
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((any_address, port))
        listener.listen()
        threading.Thread(target=accept, args=(listener,), daemon=True).start()

def accept(listener):
    while True:
        connection, peer = listener.accept()
        connection.sendall(f"from {peer[0]}\n".encode())
        connection.close()

def udp(port, answer):
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Answers must come from the address that was asked.
    bound.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    bound.bind(("0.0.0.0", port))
    threading.Thread(target=reply, args=(bound, answer), daemon=True).start()

def reply(bound, answer):
    while True:
        data, extra, _, peer = bound.recvmsg(1500, 100)
        bound.sendmsg([answer(data)], extra, 0, peer)

def name(data):
    """Each name has the address 8.8.8.8, and no other record."""
    if len(data) < 17:
        return b"hello\n"
    end, labels = 12, []
    while data[end]:
        labels.append(data[end + 1 : end + 1 + data[end]].decode())
        end += data[end] + 1
    print("asked", ".".join(labels), flush=True)
    question, kind = data[12 : end + 5], data[end + 1 : end + 3]
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x08\x08\x08\x08"
    found = kind == b"\0\x01"
    head = data[:2] + b"\x81\x80\0\x01\0" + bytes([found, 0, 0, 0, 0])
    return head + question + record * found

port = int(sys.argv[1])
tcp(port)
udp(port, lambda data: b"hello\n")
if "names" in sys.argv:
    tcp(53)
    udp(53, name)
print("listening", flush=True)
sys.stdin.read()
'''


@contextmanager
def answering(namespace: str, port: int, *words: str, log: Path) -> Iterator[None]:
    """A program in a network namespace that answers on a port, TCP and UDP; what it says in `log`.

    With the word `names` it answers for every name on port 53, too.
    """
    enter = ["nsenter", f"--net=/run/netns/{namespace}"]
    with log.open("wb") as said:
        program = subprocess.Popen(
            [*enter, sys.executable, "-c", _ANSWER, str(port), *words],
            stdin=subprocess.PIPE,
            stdout=said,
        )
    try:
        while "listening" not in log.read_text():
            assert program.poll() is None, f"it ended: {log.read_text()}"
        yield
    finally:
        program.communicate()


@contextmanager
def machine(links: NetworkState, node: int, addresses: Sequence[str]) -> Iterator[str]:
    """Another machine on the bed's network that has these addresses; yields its namespace.

    The node sends packets for them there, and it sends everything back to the node.
    """
    namespace, link = f"{links.bridge}-out", f"{links.bridge}o"
    own, its_node = str(links.subnet[200]), links.node_address(node)
    with ExitStack() as stack:
        run("ip", "netns", "add", namespace)
        stack.callback(run, "ip", "netns", "del", namespace)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", link, "master", links.bridge, "up")
        within = ("ip", "-n", namespace)
        # The node remembers for a while who had the address in an earlier test.
        run(*within, "link", "set", "eth0", "address", "02:00:00:00:00:c8")
        run(*within, "addr", "add", f"{own}/{links.subnet.prefixlen}", "dev", "eth0")
        for device in ("lo", "eth0"):
            run(*within, "link", "set", device, "up")
        run(*within, "route", "add", "default", "via", its_node)
        for address in addresses:
            run(*within, "addr", "add", f"{address}/32", "dev", "lo")
            route = ("route", "add", f"{address}/32", "via", own)
            run("ip", "-n", links.namespace(node), *route)
            stack.callback(run, "ip", "-n", links.namespace(node), "route", "del", f"{address}/32")
        yield namespace
