"""A plain socket to a session's control server."""

import json
import socket
import time


def connect(server):
    client = socket.socket(socket.AF_UNIX)
    # with a limit of time, connecting does not wait for a place in the queue
    client.connect(server.address[5:])
    client.settimeout(10)
    return client


def talk(client, data):
    client.sendall(data)
    return json.loads(client.makefile("rb").readline())


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
