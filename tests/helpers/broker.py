"""A real Mosquitto for tests: with passwords, access rules and, if wanted, TLS; it can be killed and started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

USER, PASSWORD = "edgevc", "pw-of-edgevc"
WATCHER, WATCHER_PASSWORD = "watcher", "pw-of-watcher"
ACCESS = """\
user edgevc
topic readwrite homeassistant/device/edgevc_pi/config
topic read homeassistant/status
topic readwrite edgevc/pi/#
topic readwrite edgevc/claims/#
topic write home/#
user watcher
topic readwrite #
"""
SECONDS = 60.0
"""For whatever is waited for, on a busy machine."""


def binary(name):
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is not installed: sh scripts/need.sh broker"
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


class Broker:
    def __init__(self, folder, *, tls=False, access=ACCESS, program=None):
        """`program` is the command of another Mosquitto than the system's."""
        self._program = program or [binary("mosquitto")]
        self.folder, self.port, self.process = folder, free_port(), None
        folder.mkdir(exist_ok=True)
        (folder / "access").write_text(access)
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {folder}/passwords",
            f"acl_file {folder}/access",
            "persistence true",
            f"persistence_location {folder}/",
            # what is acknowledged has been written to every subscriber before
            "max_inflight_messages 0",
        ]
        if os.geteuid() == 0:
            lines.insert(0, "user root")
        if tls:
            make_certificates(folder)
            lines += [f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"]
        (folder / "conf").write_text("\n".join(lines) + "\n")
        self._hash(WATCHER, WATCHER_PASSWORD)
        self._watcher_line = (folder / "passwords").read_text()
        self._hash(USER, PASSWORD)
        self._all_lines = (folder / "passwords").read_text()

    def _hash(self, user, password):
        path = self.folder / "passwords"
        path.touch(mode=0o600)
        subprocess.run([binary("mosquitto_passwd"), "-b", path, user, password], check=True, capture_output=True)

    def start(self, *, relays=True):
        """Start it; without `relays` it lets nobody in but the watcher, until `let_in`."""
        (self.folder / "passwords").write_text(self._all_lines if relays else self._watcher_line)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*self._program, "-c", self.folder / "conf"], stdout=log, stderr=log)
        wait_for("the broker", self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def let_in(self):
        (self.folder / "passwords").write_text(self._all_lines)
        self.process.send_signal(signal.SIGHUP)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(SECONDS)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill(signal.SIGTERM)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def make_certificates(folder):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new_key = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new_key, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "9")
    openssl(*new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-days", "9", "-extfile", "names"),
    )


class Watcher:
    """Keeps every message of the topics, in their order: (seconds, topic, payload, retained)."""

    def __init__(self, broker, *topics, tls=None):
        self.messages = []
        self._ready = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(WATCHER, WATCHER_PASSWORD)
        if tls:
            self.client.tls_set(str(tls))
        self.client.on_message = lambda c, u, m: self.messages.append((time.time(), m.topic, m.payload, m.retain))
        self.client.on_connect = lambda c, u, f, reason, p: c.subscribe([(topic, 1) for topic in topics])
        self.client.on_subscribe = lambda *_: self._ready.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = 65_535
        self.client.connect("127.0.0.1", broker.port, properties=properties)
        self.client.loop_start()
        assert self._ready.wait(SECONDS)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, 1, retain).wait_for_publish(SECONDS)

    def of(self, topic):
        return [payload for _, found, payload, _ in self.messages if found == topic]

    def events(self):
        return [json.loads(payload) for payload in self.of("edgevc/pi/event")]

    def wait_for(self, topic, count=1):
        return wait_for(f"{count} of {topic}", lambda: (found := self.of(topic)) and len(found) >= count and found)
