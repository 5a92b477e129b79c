"""A real recogniser behind the proxy: it hears the words, in another voice."""

import wave
from pathlib import Path

import pytest
from helpers.whisper_service import transcript_of, whisper
from helpers.wyoming_peers import AsyncTcpClient, Describe, Info, answer, run, serving

from edgevc.converter import VoiceConverter
from edgevc.recognition.evidence import edit_distance
from edgevc.wyoming.proxy import Proxy
from edgevc.wyoming.recording import VoiceChange
from edgevc.wyoming.sound import AudioFormat

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


@pytest.mark.slow
@pytest.mark.network
def test_the_words_of_a_sentence_come_through_the_proxy():
    with wave.open(str(SENTENCE)) as file:
        form = AudioFormat(file.getframerate(), file.getsampwidth(), file.getnchannels())
        sound = file.readframes(file.getnframes())

    async def test(address):
        proxy = Proxy(address, VoiceChange(VoiceConverter(), "anon"))
        async with serving(proxy.converse) as port:
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                (program,) = Info.from_event(await answer(client, "info")).asr
            direct, _ = await transcript_of(address.port, sound, form)
            through, _ = await transcript_of(port, sound, form)
        proxy.close()
        return program.name, direct, through

    with whisper() as address:
        name, direct, through = run(test(address), seconds=600)
    assert name == "edgevc-faster-whisper"
    assert "kitchen" in direct
    assert edit_distance(direct, through) <= 2, (direct, through)
