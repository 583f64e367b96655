"""Tries each target once and prints what came of it, a line a target.

tcp/ADDRESS/PORT, udp/ADDRESS/PORT, ping/ADDRESS. "open" means that an answer came back. A verdict that was there before
connect(2) or sendto(2) returned is its errno alone; one that took a while is "late ERRNO", none at all "silence".
"""
import errno
import select
import socket
import sys
import time

PATIENCE = 2


def name(number):
    return errno.errorcode.get(number, str(number))


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(address, port, protocol=0):
    s = socket.socket(family(address), socket.SOCK_STREAM, protocol)
    s.setblocking(False)
    error = s.connect_ex((address, int(port)))
    if error == errno.EINPROGRESS:
        error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error:
            if not select.select([], [s], [], PATIENCE)[1]:
                return "silence"
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return "late " + name(error)
    if error:
        return name(error)
    s.settimeout(PATIENCE)
    try:
        s.sendall(b"hello")
        return "open" if s.recv(100) else "closed"
    except socket.timeout:
        return "silence"
    except OSError as error:
        return "late " + name(error.errno)


def mptcp(address, port):
    return tcp(address, port, 262)


def burst(address, port):
    """Many calls at once, more than a short backlog takes."""
    calls = [socket.socket(family(address), socket.SOCK_STREAM) for _ in range(12)]
    for s in calls:
        s.setblocking(False)
        s.connect_ex((address, int(port)))
    answers = 0
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for s in calls:
            try:
                s.send(b"hello")
            except OSError:
                pass
            try:
                answers += len(s.recv(100))
            except OSError:
                pass
        time.sleep(0.05)
    return "open" if answers else "silence"


def fastopen(address, port):
    """A first call for the cookie, a second one that carries data in its first packet; what matters is on the other side."""
    for _ in range(2):
        s = socket.socket(family(address), socket.SOCK_STREAM)
        s.settimeout(PATIENCE)
        try:
            s.sendto(b"hello", 0x20000000, (address, int(port)))
            s.recv(100)
        except OSError:
            pass
        s.close()
    return "tried"


def datagram(s, to, text):
    s.settimeout(PATIENCE)
    try:
        s.connect(to)
        s.send(text)
        s.recv(len(text) + 100)
        return "open"
    except socket.timeout:
        return "silence"
    except OSError as error:
        return name(error.errno)


def udp(address, port, size="5"):
    return datagram(socket.socket(family(address), socket.SOCK_DGRAM), (address, int(port)), b"x" * int(size))


def ping(address):
    six = ":" in address
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    s = socket.socket(family(address), socket.SOCK_DGRAM, protocol)
    return datagram(s, (address, 0), (b"\x80" if six else b"\x08") + b"\0" * 15)


def shout(address, port):
    """A datagram to a broadcast or multicast address: sent or not, for nobody need answer."""
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        s.sendto(b"hello", (address, int(port)))
        return "sent"
    except OSError as error:
        return name(error.errno)


def sctp(address, port):
    try:
        return tcp(address, port, 132)
    except OSError as error:
        return name(error.errno)


for target in sys.argv[1:]:
    kind, *rest = target.split("/")
    print(target, globals()[kind](*rest), flush=True)
