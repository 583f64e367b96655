"""Answers on each of tcp/ADDRESS/PORT and udp/ADDRESS/PORT with what it was sent, and prints what happens.

Port 0 takes any. tcp/ADDRESS/PORT/BACKLOG sets the backlog; a further /fast takes data in the first packet.
"""
import errno
import selectors
import socket
import sys

select = selectors.DefaultSelector()


def say(*words):
    print(*words, flush=True)


def accept(listener):
    s, _ = listener.accept()
    port = listener.getsockname()[1]
    say("accepted", port)
    select.register(s, selectors.EVENT_READ, lambda s: echo(s, port))


def echo(s, port):
    try:
        data = s.recv(65536)
        if data:
            say("data", port, len(data))
            s.send(data)
            return
    except OSError as error:
        say("lost", port, errno.errorcode.get(error.errno))
    select.unregister(s)
    s.close()


def answer(s):
    port = s.getsockname()[1]
    try:
        data, to = s.recvfrom(65536)
        say("datagram", port, len(data))
        s.sendto(data, to)
        say("answered", port)
    except OSError as error:
        say("unanswered", port, errno.errorcode.get(error.errno))


for target in sys.argv[1:]:
    kind, address, port, *more = target.split("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, int(port)))
    if kind == "tcp":
        if "fast" in more:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        s.listen(int(more[0]) if more else 16)
    select.register(s, selectors.EVENT_READ, accept if kind == "tcp" else answer)
    say("listening", s.getsockname()[1])
say("ready")
while True:
    for key, _ in select.select():
        key.data(key.fileobj)
