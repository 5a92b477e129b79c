"""Speaks recordings to Home Assistant's Assist pipeline; run by Home Assistant's own Python, which has aiohttp.

    assist_driver.py URL PORT RECORDING.wav...

PORT is that of a Wyoming service, which becomes the pipeline's speech-to-text. Recordings are 16 kHz mono, and are sent
as fast as somebody speaks. Prints a line of JSON for each.
"""

import asyncio
import json
import sys
import time
import wave

import aiohttp

URL, PORT, RECORDINGS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]


async def sign_in(http):
    client = {"client_id": URL + "/"}
    user = {"name": "test", "username": "test", "password": "a-word-to-pass", "language": "en"}
    async with http.post(URL + "/api/onboarding/users", json=client | user) as answer:
        code = (await answer.json())["auth_code"]
    form = client | {"grant_type": "authorization_code", "code": code}
    async with http.post(URL + "/auth/token", data=form) as answer:
        return (await answer.json())["access_token"]


async def post(http, path, body):
    async with http.post(URL + path, json=body) as answer:
        return await answer.json()


class Socket:
    """One connection to the websocket."""

    def __init__(self, http, token):
        self.http, self.token, self.number = http, token, 0

    async def __aenter__(self):
        self.socket = await self.http.ws_connect(URL + "/api/websocket")
        await self.socket.receive_json()
        await self.socket.send_json({"type": "auth", "access_token": self.token})
        assert (await self.socket.receive_json())["type"] == "auth_ok"
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def send(self, kind, **values):
        self.number += 1
        await self.socket.send_json({"id": self.number, "type": kind, **values})

    async def ask(self, kind, **values):
        await self.send(kind, **values)
        while (answer := await self.socket.receive_json()).get("id") != self.number or answer["type"] != "result":
            pass
        assert answer["success"], answer
        return answer["result"]

    async def events(self):
        while True:
            message = await self.socket.receive_json()
            if message.get("id") == self.number and message["type"] == "event":
                yield message["event"]["type"], message["event"].get("data")


async def speak(connection, pipeline, path):
    """Return what was understood and answered, and how many milliseconds of the recording were sent by then."""
    with wave.open(path) as file:
        sound = file.readframes(file.getnframes())
    asked = {"start_stage": "stt", "end_stage": "intent", "input": {"sample_rate": 16_000}, "timeout": 60}
    await connection.send("assist_pipeline/run", pipeline=pipeline, **asked)
    found = {"recording": path, "text": None, "said": None, "error": None, "sent": None}
    handler, feeding, sent = None, None, 0

    async def feed():
        nonlocal sent
        begun = time.monotonic()
        for start in range(0, len(sound), 640):
            await asyncio.sleep(max(0.0, begun + start / 32_000 - time.monotonic()))
            await connection.socket.send_bytes(bytes([handler]) + sound[start : start + 640])
            sent = start + 640
        await connection.socket.send_bytes(bytes([handler]))

    async for kind, data in connection.events():
        if kind == "run-start":
            handler = data["runner_data"]["stt_binary_handler_id"]
        elif kind == "stt-start":
            feeding = asyncio.ensure_future(feed())
        elif kind == "stt-end":
            feeding.cancel()
            found |= {"text": data["stt_output"]["text"], "sent": sent / 32}
        elif kind == "intent-end":
            found["said"] = data["intent_output"]["response"]["speech"].get("plain", {}).get("speech")
        elif kind == "error":
            found["error"] = data["code"]
        elif kind == "run-end":
            feeding.cancel()
            break
    return found


async def main():
    async with aiohttp.ClientSession() as http:
        token = await sign_in(http)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        flow = await post(http, "/api/config/config_entries/flow", {"handler": "wyoming"})
        added = await post(
            http, f"/api/config/config_entries/flow/{flow['flow_id']}", {"host": "127.0.0.1", "port": PORT}
        )
        assert added["type"] == "create_entry", added
        entities = []
        while not (heard := [name for name in entities if name.startswith("stt.")]):
            await asyncio.sleep(0.2)
            async with http.get(URL + "/api/states") as answer:
                entities = [state["entity_id"] for state in await answer.json()]
        print(json.dumps({"entry": added["title"], "entities": entities}), flush=True)
        engines = {"stt_engine": heard[0], "conversation_engine": "conversation.home_assistant", "tts_engine": None}
        languages = {"stt_language": "en", "conversation_language": "en", "tts_language": None, "language": "en"}
        others = {"name": "test", "tts_voice": None, "wake_word_entity": None, "wake_word_id": None}
        async with Socket(http, token) as connection:
            pipeline = await connection.ask("assist_pipeline/pipeline/create", **engines, **languages, **others)
        for path in RECORDINGS:
            # one connection each: what is sent behind the end breaks it
            async with Socket(http, token) as connection:
                print(json.dumps(await speak(connection, pipeline["id"], path)), flush=True)


asyncio.run(main())
