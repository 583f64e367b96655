"""What the agent does in the tests. Prints JSON.

ask NAME KIND [RESOLVER [tcp] [plain]]         one question: code, addresses, ttl, the extended error, milliseconds
connect ADDRESS PORT                           one call: errno or "open", milliseconds
rounds UID COUNT FLUSH NAME... -- SET...       as root: for each round empty the sets, ask as UID, connect at once
loop ADDRESS PORT                              calls without end; prints the number of calls, of those that came through, and of refusals
pipeline NAME...                               all questions on one TCP connection at once; names in the order of replies
linger ADDRESS PORT                            a datagram, then nothing with the socket open
spray COUNT                                    datagrams to COUNT destinations; the seconds that it took, and those of the processor
"""
import errno
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time

KINDS = {"A": 1, "AAAA": 28, "HTTPS": 65, "TXT": 16, "MX": 15, "ANY": 255, "CNAME": 5, "PTR": 12}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def question(name, kind, edns=True):
    id = random.randrange(65536)
    body = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"
    extra = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b""
    return id, struct.pack("!HHHHHH", id, 0x100, 1, 0, 0, int(edns)) + body + struct.pack("!HH", KINDS[kind], 1) + extra


def skip(reply, at):
    while reply[at]:
        if reply[at] >= 192:
            return at + 2
        at += 1 + reply[at]
    return at + 1


def name_in(reply):
    at, labels = 12, []
    while reply[at]:
        labels.append(reply[at + 1:at + 1 + reply[at]].decode())
        at += 1 + reply[at]
    return ".".join(labels)


def read(reply, id):
    got, flags, _, answers, _, additional = struct.unpack("!HHHHHH", reply[:12])
    assert got == id and flags & 0x8000
    at = skip(reply, 12) + 4
    said = {"code": flags & 15, "truncated": bool(flags & 0x200), "addresses": [], "records": answers, "ttl": None,
            "error": None}
    for index in range(answers + additional):
        at = skip(reply, at)
        kind, _, ttl, size = struct.unpack("!HHIH", reply[at:at + 10])
        data, at = reply[at + 10:at + 10 + size], at + 10 + size
        if kind in (1, 28):
            said["addresses"].append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
            said["ttl"] = ttl
        elif kind == 41 and size > 6:
            said["error"] = [struct.unpack("!H", data[4:6])[0], data[6:].decode()]
    return said


def ask(name, kind="A", resolver="198.18.0.1", how="udp", edns="edns"):
    id, message = question(name, kind, edns != "plain")
    began = time.perf_counter()
    s = socket.socket(family(resolver), socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(8)
    try:
        s.connect((resolver, 53))
        if how == "tcp":
            s.sendall(struct.pack("!H", len(message)) + message)
            size = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0]
            reply = s.recv(size, socket.MSG_WAITALL)
        else:
            s.send(message)
            reply = s.recv(4096)
        said = read(reply, id)
        said["spelled"] = name_in(reply)
    except OSError as error:
        said = {"failed": errno.errorcode.get(error.errno, "timeout")}
    said["ms"] = (time.perf_counter() - began) * 1000
    return said


def call(address, port):
    began = time.perf_counter()
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.settimeout(3)
    try:
        s.connect((address, int(port)))
        s.sendall(b"hello")
        verdict = "open" if s.recv(10) == b"hello" else "closed"
    except OSError as error:
        verdict = errno.errorcode.get(error.errno, "timeout")
    s.close()
    return {"verdict": verdict, "ms": (time.perf_counter() - began) * 1000}


def rounds(uid, count, flush, *rest):
    names, sets = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    good, times = 0, []
    for index in range(int(count)):
        if flush == "flush":
            for name in sets:
                subprocess.run(["ipset", "flush", name], check=True)
                subprocess.run(["nft", "flush", "set", "inet", "agentuser_" + uid, name], check=True)
        os.setegid(int(uid))
        os.seteuid(int(uid))
        name = names[index % len(names)].replace("#", str(index))
        kind = "AAAA" if name.startswith("six") else "A"
        said = ask(name, kind)
        if said.get("addresses"):
            good += call(said["addresses"][0], 8000)["verdict"] == "open"
            times.append(said["ms"])
        os.seteuid(0)
        os.setegid(0)
    times.sort()
    return {"good": good, "p50": times[len(times) // 2] if times else None}


def loop(address, port):
    print("calling", flush=True)
    calls, through, refused = 0, 0, 0
    while True:
        s = socket.socket(family(address), socket.SOCK_STREAM)
        s.settimeout(1)
        calls += 1
        error = s.connect_ex((address, int(port)))
        through += error == 0
        refused += error in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPERM, errno.EACCES)
        s.close()
        if calls % 200 == 0:
            print("calls", calls, through, refused, flush=True)


def pipeline(*names):
    s = socket.create_connection(("198.18.0.1", 53), 5)
    asked = [question(name, "A") for name in names]
    s.sendall(b"".join(struct.pack("!H", len(message)) + message for _, message in asked))
    found = []
    for _ in names:
        size = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0]
        found.append(name_in(s.recv(size, socket.MSG_WAITALL)))
    return sorted(found)


def spray(count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began, cpu = time.perf_counter(), time.process_time()
    for index in range(int(count)):
        try:
            s.sendto(b"x", ("203.0.%d.%d" % (113 + index // 256 // 64, index % 256), 1024 + index // 256))
        except OSError:
            pass
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def linger(address, port):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    try:
        s.sendto(b"x", (address, int(port)))
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
    time.sleep(30)


commands = {"linger": linger, "ask": ask, "connect": call, "rounds": rounds, "loop": loop, "pipeline": pipeline, "spray": spray}
print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
