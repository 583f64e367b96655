"""Opens a connection, sends and reads on it without end, and says when it breaks."""
import errno
import socket
import sys
import time

address, port = sys.argv[1:3]
s = socket.create_connection((address, int(port)), 5)
s.settimeout(5)
try:
    while True:
        s.sendall(b"tick")
        if not s.recv(100):
            print("dead", "closed", flush=True)
            break
        print("alive", flush=True)
        time.sleep(0.05)
except OSError as error:
    print("dead", errno.errorcode.get(error.errno, "timeout"), flush=True)
