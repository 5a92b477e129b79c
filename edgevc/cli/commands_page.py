"""The page that `edgevc commands test --report` and `say --report` write."""

from __future__ import annotations

from edgevc.quantize.report.markup import Markup, element, join
from edgevc.recognition.trial import Tally, Trial, Verdict

_STYLE = (
    "body{font:16px system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3rem .6rem;text-align:left}"
    ".wrong{background:#fde8e8}"
)


def page(grammar: str, result: Tally) -> str:
    """Return the page for a grammar's name and its recordings: what was not right first."""
    order = sorted(result.trials, key=lambda trial: trial.verdict is Verdict.RIGHT)
    counts = ", ".join(f"{verdict.value} {n}" for verdict, n in result.counts.items() if n)
    head = element("tr", *(element("th", name) for name in ("recording", "expected", "heard", "certainty", "verdict")))
    body = element(
        "body",
        element("h1", f"Spoken commands: {grammar}"),
        element("p", f"{len(result.trials)} recordings, {result.share_right:.1%} right: {counts}"),
        element("table", head, *map(_row, order)),
    )
    title = element("title", f"Spoken commands: {grammar}")
    style = element("style", Markup(_STYLE))
    html = element("html", element("head", element("meta", charset="utf-8"), title, style), body, lang="en")
    return join([Markup("<!doctype html>\n"), html, Markup("\n")])


def _row(trial: Trial) -> Markup:
    heard = trial.sentence.heard if trial.sentence else None
    recognition = heard.recognition if heard else None
    cells = (
        trial.name,
        _asked(trial.expected.command or "nothing", dict(trial.expected.slots or {})),
        " ".join(recognition.words) if recognition else "",
        f"{heard.evidence.certainty:.2f}" if heard and heard.evidence else "",
        trial.verdict.value,
    )
    class_ = None if trial.verdict is Verdict.RIGHT else "wrong"
    return element("tr", *(element("td", cell) for cell in cells), class_=class_)


def _asked(command: str, slots: dict[str, str]) -> str:
    return " ".join([command, *(f"{slot}={value}" for slot, value in slots.items())])
