"""A Home Assistant as its websocket shows it: what it is asked for stands in a table, and may change."""

import json
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

TOKEN = "a-long-lived-token"


def house():
    """A small house, as Home Assistant 2026.11 answers."""
    return {
        "homeassistant/expose_entity/list": {
            "exposed_entities": {
                "light.kitchen": {"conversation": True},
                "light.bed": {"conversation": True, "cloud.alexa": True},
                "cover.blind": {"conversation": True},
                "lock.door": {"conversation": True},
                "switch.gone": {"conversation": True},
                "switch.secret": {"cloud.alexa": True},
            }
        },
        "get_states": [
            {"entity_id": "light.kitchen", "attributes": {"friendly_name": "Kitchen lamp"}},
            {"entity_id": "light.bed", "attributes": {"friendly_name": "Lamp"}},
            {"entity_id": "cover.blind", "attributes": {"friendly_name": "Küchen-Rollo"}},
            {"entity_id": "lock.door", "attributes": {}},
            {"entity_id": "switch.secret", "attributes": {"friendly_name": "Secret"}},
        ],
        "config/entity_registry/get_entries": {
            "light.kitchen": {"aliases": [None, "Ceiling light"], "area_id": None, "device_id": "d1"},
            "light.bed": {"aliases": [], "area_id": "bed_room", "device_id": None},
            "cover.blind": {"aliases": ["blind"], "area_id": None, "device_id": None},
            "lock.door": None,
        },
        "config/device_registry/list": [{"id": "d1", "area_id": "kitchen"}],
        "config/area_registry/list": [
            {"area_id": "kitchen", "name": "Kitchen", "aliases": ["cook house"], "floor_id": "ground"},
            {"area_id": "bed_room", "name": "Bed room", "aliases": [], "floor_id": None},
            {"area_id": "attic", "name": "Attic", "aliases": [], "floor_id": None},
        ],
        "config/floor_registry/list": [{"floor_id": "ground", "name": "Ground floor", "aliases": []}],
        "conversation/sentences/list": {"trigger_sentences": ["movie (time|night)", "play {album}"]},
    }


class FakeHome:
    """A context manager; `answers` may be changed, and `event` tells whoever listens."""

    def __init__(self, port=0, answers=None):
        self.answers = house() if answers is None else answers
        self.asked = []
        self.floods = False
        """Whether events without end come in place of answers."""
        self._clients = set()
        self._server = serve(self._serve, "127.0.0.1", port)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _serve(self, socket):
        socket.send(json.dumps({"type": "auth_required"}))
        if json.loads(socket.recv()).get("access_token") != TOKEN:
            socket.send(json.dumps({"type": "auth_invalid"}))
            return
        socket.send(json.dumps({"type": "auth_ok"}))
        self._clients.add(socket)
        try:
            while True:
                self._answer(socket, json.loads(socket.recv()))
        except ConnectionClosed:
            self._clients.discard(socket)

    def _answer(self, socket, request):
        kind = request["type"]
        self.asked.append(kind)
        while self.floods:
            socket.send(json.dumps({"type": "event"}))
        reply = {"id": request["id"], "type": "result", "success": True, "result": self.answers.get(kind)}
        if kind != "subscribe_events" and kind not in self.answers:
            reply |= {"success": False, "error": {"code": "unauthorized"}}
        socket.send(json.dumps(reply))

    def event(self):
        for socket in list(self._clients):
            socket.send(json.dumps({"id": 1, "type": "event", "event": {}}))

    def close(self):
        self._server.shutdown()
        for socket in list(self._clients):
            socket.close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
