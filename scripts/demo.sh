#!/bin/sh
# demo.sh: converts a sentence that ships with the project into demo/, with a picture. `make demo` installs edgevc and runs it.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
voice=${VOICE:-kathleen}
front_center=/usr/share/sounds/alsa/Front_Center.wav

mkdir -p demo
convert() {
  cp "$1" "demo/$2.wav"
  "$venv/bin/edgevc" convert "demo/$2.wav" "demo/$2-$voice.wav" --voice "$voice" --plot "demo/$2-$voice.png" --force
}
convert examples/sentence.wav sentence
# a human voice; the package alsa-utils brings it along
if [ -f "$front_center" ]; then convert "$front_center" front-center; fi

echo
echo "Listen:  aplay demo/sentence.wav demo/sentence-$voice.wav     before and after: the same words in another voice"
[ ! -f "$front_center" ] || echo "         aplay demo/front-center.wav demo/front-center-$voice.wav     the same for a human's words"
echo "Look:    demo/sentence-$voice.png     above the input, below the output: the same sounds at the same"
echo "         times, while the dots, which are the pitch, moved into the range of the new voice"
echo "Go on:   $venv/bin/edgevc voices;  $venv/bin/edgevc convert YOUR.wav OTHER.wav --voice bdl"
