"""Speech in languages that no training heard, by espeak-ng."""

from __future__ import annotations

import subprocess
from pathlib import Path

TIMBRES = ("+m1", "+f5")
"""Neither is among those that training hears in English."""

SENTENCES = {
    "de": (
        "Bitte schalten Sie das Licht in der Küche aus und schließen Sie das Fenster.",
        "Morgen früh soll es in den Bergen schneien.",
    ),
    "fr": (
        "Pouvez-vous éteindre la lumière de la cuisine et fermer la fenêtre?",
        "Il va neiger demain matin dans les montagnes.",
    ),
    "es": (
        "Por favor, apague la luz de la cocina y cierre la ventana.",
        "Mañana por la mañana va a nevar en las montañas.",
    ),
    "cmn": ("请把厨房的灯关掉,然后把窗户关上。", "明天早上山里会下雪。"),
    "hi": ("कृपया रसोई की बत्ती बंद कर दीजिए और खिड़की भी बंद कर दीजिए।", "कल सुबह पहाड़ों में बर्फ गिरेगी।"),
}


def speak(folder: Path) -> list[tuple[str, str, Path]]:
    """(language, name, file) of every sentence in every timbre; files that exist are kept.

    Raises:
        RuntimeError: espeak-ng is missing or lacks a language.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spoken = []
    for language, sentences in SENTENCES.items():
        for timbre in TIMBRES:
            for index, text in enumerate(sentences):
                name = f"{language}{timbre}-{index}"
                path = folder / f"{name}.wav"
                if not path.exists():
                    _speak(language + timbre, text, path)
                spoken.append((language, name, path))
    return spoken


def _speak(voice: str, text: str, path: Path) -> None:
    part = path.with_suffix(".part")
    try:
        command = ["espeak-ng", "-v", voice, "-s", "150", "-w", str(part), text]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(
            "the unseen languages need espeak-ng: apt-get install espeak-ng, or --skip languages"
        ) from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"espeak-ng does not speak {voice}: {error.stderr.strip()}") from error
    part.rename(path)
