"""A real Home Assistant for tests: started on a configuration of its own, asked over REST and its websocket."""

import base64
import itertools
import json
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from helpers.broker import WATCHER, WATCHER_PASSWORD, free_port, wait_for

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "home_assistant"
CACHE = {name: value for name, value in os.environ.items() if name == "XDG_CACHE_HOME"}
"""Read before the tests have a cache of their own: the tree is built once for all."""
NOW = "2026-11-01T00:00:00.000000+00:00"
CONFIGURATION = """\
homeassistant: {name: test, unit_system: metric, time_zone: UTC, latitude: 0, longitude: 0, elevation: 0, country: US,
  currency: USD, language: en}
api:
websocket_api:
config:
intent:
conversation:
logger: {default: warning}
automation: !include automations.yaml
input_boolean: {heard: {name: Heard}, triggered: {name: Triggered}, lamp: {name: Kitchen lamp}}
"""


def tree():
    """The folder with Home Assistant and Mosquitto 2.1; one that cannot be built is an error, never a test left out."""
    build = ["sh", SCRIPTS / "build.sh"]
    known = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    made = subprocess.run(build, env=known | CACHE, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    return made.stdout.strip()


def program(tree, path):
    """The command that runs a program of the tree."""
    return ["sh", SCRIPTS / "run.sh", tree, path]


class HomeAssistant:
    def __init__(self, folder, broker):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = None
        self.process = None
        (folder / ".storage").mkdir(parents=True)
        (folder / "automations.yaml").write_text("[]\n")
        (folder / "configuration.yaml").write_text(CONFIGURATION)
        # without it a port of one's own holds for five minutes
        self._store("http", 3, 1, self._http())
        self._store("core.config_entries", 1, 5, {"entries": [_mqtt_entry(broker)]})

    def _http(self):
        stable = {
            "server_port": self.port,
            "server_host": ["127.0.0.1"],
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": True,
            "ssl_profile": "intermediate_v6",
            "use_x_frame_options": True,
            "created_at": NOW,
            "error": None,
            "error_message": None,
        }
        return {"stable": stable, "pending": None, "yaml_migration_done": True}

    def _store(self, key, version, minor, data):
        content = {"version": version, "minor_version": minor, "key": key, "data": data}
        (self.folder / ".storage" / key).write_text(json.dumps(content))

    def start(self):
        python = program(tree(), "usr/bin/python3.14")
        command = [*python, "-m", "homeassistant", "-c", self.folder, "--skip-pip"]
        with (self.folder / "out").open("ab") as out:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=self.folder)
        wait_for("Home Assistant", self._answers, 300)
        if self.token is None:
            self.token = self._onboard()
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "out").read_text()[-2000:]
        try:
            return self.answer("GET", "/api/onboarding")[0] == 200
        except OSError:
            return False

    def _onboard(self):
        client = {"client_id": self.url + "/"}
        user = {"name": "t", "username": "t", "password": "t-pass-word", "language": "en"}
        code = self.answer("POST", "/api/onboarding/users", client | user)[1]["auth_code"]
        form = f"grant_type=authorization_code&code={code}&client_id={self.url}/".encode()
        return self.answer("POST", "/auth/token", form)[1]["access_token"]

    def answer(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def rest(self, method, path, body=None):
        status, answer = self.answer(method, path, body)
        assert status == 200, (path, status, answer)
        return answer

    def state(self, entity):
        status, answer = self.answer("GET", f"/api/states/{entity}")
        return answer if status == 200 else {"state": None, "attributes": {}}

    def is_on(self, name):
        return self.state(f"input_boolean.{name}")["state"] == "on"

    def call(self, service, **data):
        return self.rest("POST", f"/api/services/{service.replace('.', '/')}", data)

    def automate(self, name, trigger, conditions=()):
        """Toggle an input_boolean of this name at a trigger."""
        action = {"action": "input_boolean.toggle", "target": {"entity_id": f"input_boolean.{name}"}}
        body = {"alias": name, "mode": "queued", "triggers": [trigger], "conditions": list(conditions)}
        self.rest("POST", f"/api/config/automation/config/{name}", {**body, "actions": [action]})
        wait_for(f"the automation {name}", lambda: self.state(f"automation.{name}")["state"] == "on")

    def complaints(self):
        """What it logged of MQTT that is worth a warning."""
        text = (self.folder / "home-assistant.log").read_text(errors="replace")
        return re.findall(r"^.*(?:WARNING|ERROR).*components\.mqtt.*$", text, re.MULTILINE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _mqtt_entry(broker):
    data = {
        "broker": "127.0.0.1",
        "port": broker.port,
        "protocol": "5",
        "transport": "tcp",
        "username": WATCHER,
        "password": WATCHER_PASSWORD,
    }
    return {
        "created_at": NOW,
        "data": data,
        "disabled_by": None,
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": uuid.uuid4().hex,
        "minor_version": 1,
        "modified_at": NOW,
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": "broker",
        "unique_id": None,
        "version": 2,
    }


class WebSocket:
    """Asks over the websocket of Home Assistant (RFC 6455, as much of it as that needs)."""

    def __init__(self, home):
        self._numbers = itertools.count(1)
        self._socket = socket.create_connection(("127.0.0.1", home.port), 60)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self._socket.sendall(
            f"GET /api/websocket HTTP/1.1\r\nHost: 127.0.0.1:{home.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in self._file.readline()
        while self._file.readline().strip():
            pass
        self._receive()
        self._send({"type": "auth", "access_token": home.token})
        assert self._receive()["type"] == "auth_ok"

    def ask(self, kind, **values):
        number = next(self._numbers)
        self._send({"id": number, "type": kind, **values})
        while (answer := self._receive()).get("id") != number or answer["type"] != "result":
            pass
        assert answer["success"], answer
        return answer["result"]

    def _send(self, message):
        data, mask = json.dumps(message).encode(), secrets.token_bytes(4)
        size = struct.pack("!BH", 0x80 | 126, len(data))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(b"\x81" + size + mask + masked)

    def _receive(self):
        while True:
            first, size = self._file.read(2)
            if size == 126:
                (size,) = struct.unpack("!H", self._file.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._file.read(8))
            data = self._file.read(size)
            if first & 0x0F == 1:
                return json.loads(data)

    def close(self):
        self._file.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
