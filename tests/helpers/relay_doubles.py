"""What tests of the relay put in place of a house: a web server that remembers, sinks that fail, ready-made events."""

import asyncio
import http.server
import json
import threading
import time

from edgevc.relay.event import Counts, Event

LAMPS = """\
[[command]]
name = "light"
say = ["turn {state} [the] {room} light[s]"]
room = ["kitchen", "bedroom", "bathroom"]
state = ["on", "off"]

[[command]]
name = "stop"
say = ["stop"]
"""


def lamp(room="kitchen", state="on", **values):
    return Event("light", {"room": room, "state": state}, text=f"turn {state} the {room} light", **values)


class Server:
    """Answers each POST with the next of `answers` (status, object), the last one for ever; keeps what came."""

    def __init__(self, *answers):
        self.requests = []
        self.answers = list(answers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                status, answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class KeptSink:
    """Takes everything at once; its `run` fails so many times."""

    def __init__(self, failures=0, stuck=False):
        self.name, self.counts = "kept", Counts()
        self.events, self.runs = [], 0
        self.failures, self.stuck = failures, stuck
        self.waiting = 0

    def prepare(self):
        pass

    def take(self, event):
        if self.stuck:
            raise RuntimeError("stuck")
        self.events.append(event)
        self.counts.given += 1
        self.counts.sent += 1

    def describe(self, event):
        return [event.command]

    async def run(self):
        self.runs += 1
        if self.runs <= self.failures:
            raise OSError("cannot")
        await asyncio.Event().wait()


class ReadySource:
    """Gives its events, then ends."""

    def __init__(self, hear, events, seconds=0.0):
        self.name = "ready"
        self._hear, self._events, self._seconds = hear, events, seconds

    async def run(self):
        for event in self._events:
            self._hear(event)
        await asyncio.sleep(self._seconds)


async def delivered(sink, *events, seconds=20.0):
    """Run a sink until it has delivered or given up all of these."""
    task = asyncio.create_task(sink.run())
    for event in events:
        sink.take(event)
    end = time.monotonic() + seconds
    while sink.waiting:
        assert time.monotonic() < end, "the sink does not come to an end"
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
