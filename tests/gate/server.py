"""A name server for tests, and listeners that answer on ports 8000, 8001, 853 and 443.

The zone is JSON: {"name": {"A": [...], "AAAA": [...], "CNAME": "...", "ttl": 60, "truncate": true, "silent": true,
"first": {...}}}; a name that begins with "*" stands for all that end with the rest. Prints each query.
"""
import json
import selectors
import socket
import struct
import sys

zone = json.loads(sys.argv[1])
select = selectors.DefaultSelector()
KINDS = {1: "A", 28: "AAAA", 5: "CNAME", 65: "HTTPS", 16: "TXT"}


def find(name):
    entry = zone.get(name)
    if entry is None:
        entry = next((zone[key] for key in zone if key[0] == "*" and name.endswith(key[1:])), None)
    return entry


def pack(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name, kind, ttl, data):
    return pack(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def answer(query, stream):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    name, kind = ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0]
    question = query[12:at + 5]
    print("query", name, KINDS.get(kind, kind), "tcp" if stream else "udp", flush=True)
    entry = find(name)
    if entry and entry.get("silent"):
        return None
    code, records, truncated = 0, [], bool(entry and entry.get("truncate") and not stream)
    if entry is None:
        code = 3
    elif not truncated:
        owner, seen = name, entry
        while seen and "CNAME" in seen:
            records.append(record(owner, 5, seen.get("ttl", 60), pack(seen["CNAME"])))
            owner = seen["CNAME"]
            seen = find(owner)
        family = {1: ("A", socket.AF_INET), 28: ("AAAA", socket.AF_INET6)}.get(kind)
        if seen and family:
            for address in seen.get(family[0], []):
                records.append(record(owner, kind, seen.get("ttl", 60), socket.inet_pton(family[1], address)))
    flags = 0x8180 | code | (0x200 if truncated else 0)
    return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


def datagram(s):
    data, to = s.recvfrom(4096)
    reply = answer(data, False)
    if reply:
        s.sendto(reply, to)


def accept_names(s):
    c, _ = s.accept()
    c.settimeout(5)
    size = struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0]
    reply = answer(c.recv(size, socket.MSG_WAITALL), True)
    if reply:
        c.sendall(struct.pack("!H", len(reply)) + reply)
    c.close()


def accept(s):
    c, _ = s.accept()
    select.register(c, selectors.EVENT_READ, echo)


def echo(c):
    try:
        data = c.recv(4096)
        if data:
            c.send(data)
            return
    except OSError:
        pass
    select.unregister(c)
    c.close()


for address in ["0.0.0.0", "::"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind, port, ready in [
        (socket.SOCK_DGRAM, 53, datagram), (socket.SOCK_STREAM, 53, accept_names), (socket.SOCK_STREAM, 8000, accept),
        (socket.SOCK_STREAM, 8001, accept), (socket.SOCK_STREAM, 853, accept), (socket.SOCK_STREAM, 443, accept),
    ]:
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(256)
        select.register(s, selectors.EVENT_READ, ready)
print("ready", flush=True)
while True:
    for key, _ in select.select():
        key.data(key.fileobj)
