"""The report: what stands in it, that it fits, and that names from a hostile model stay names."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from helpers import sample_result

from edgevc.errors import ConfigError, OutputError
from edgevc.quantize.report.charts import Axis, Bars, Point, bar_chart, line_chart, number, scatter
from edgevc.quantize.report.markup import Markup, element, join
from edgevc.quantize.report.page import MAX_ROWS, page
from edgevc.quantize.report.summary import badness, layers_of, sentences
from edgevc.quantize.report.writer import WIDTH, columns, shorten, terminal, write_report

HOSTILE = (
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(1)>",
    "\"' onload='alert(1)",
    "\x1b[2J\x1b]0;owned\x07name",
    "line\nfeed\rreturn\ttab\x00nul",
    "\u202egnp.exe\u2066",
    "\ud800 alone",
    "&lt;b&gt; &amp; &#60;",
    "javascript:alert(1)",
    "名前" * 60,
    "x" * 3000,
    "",
)
VOID = {"meta"}


class Page(HTMLParser):
    """Checks that every tag is closed in order, and collects what a test asks for."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def hostile_result():
    made = sample_result.result()
    layers = tuple(
        replace(layer, name=HOSTILE[i % len(HOSTILE)], graph=HOSTILE[(i + 3) % len(HOSTILE)], op=HOSTILE[(i + 5) % 12])
        for i, layer in enumerate(made.layers)
    )
    candidates = tuple(
        replace(c, excluded=HOSTILE, scheme=HOSTILE[i], gate=(replace(c.gate[0], name=HOSTILE[i]), *c.gate[1:]))
        for i, c in enumerate(made.candidates)
    )
    provenance = replace(
        made.provenance,
        source=HOSTILE[1],
        method=HOSTILE[2],
        schemes={HOSTILE[0]: HOSTILE[1]},
        excluded={"onnx": HOSTILE},
        versions={HOSTILE[0]: HOSTILE[2]},
    )
    return replace(
        made,
        model=HOSTILE[0],
        output=HOSTILE[1],
        notes=HOSTILE,
        layers=layers,
        candidates=candidates,
        provenance=provenance,
        cpu={HOSTILE[0]: HOSTILE[1], "int8": list(HOSTILE)},
        drift={HOSTILE[0]: (0.1, 0.2)},
        bytes_float={**made.bytes_float, HOSTILE[1]: 5},
    )


RESULTS = {
    "whole": sample_result.result(),
    "failed": sample_result.result(passed=False, candidates=sample_result.nearest_fails()),
    "bare graph": sample_result.bare_graph(),
    "hostile": hostile_result(),
    "many layers": sample_result.result(layers=sample_result.layers(MAX_ROWS + 7)),
    "nothing": sample_result.result(
        layers=(), candidates=(), clock=(), drift={}, bytes_float={}, bytes_int8={}, cpu={}, notes=()
    ),
}  # fmt: skip


@pytest.fixture(params=RESULTS.values(), ids=RESULTS)
def result(request):
    return request.param


def test_the_terminal_report_fits_and_has_no_control_characters(result):
    for line in terminal(result).split("\n"):
        assert columns(line) <= WIDTH, line
        assert line.isprintable(), line


def test_the_page_is_well_formed_and_alone(result):
    text = page(result)
    parsed = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form", "a"} & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("href", "src", "xlink:href", "action"), (tag, name)
        assert name != "style"
        assert value.isprintable(), (tag, name, value)
    (policy,) = [value for tag, name, value in parsed.attributes if tag == "meta" and "default-src" in str(value)]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "url(" not in text.partition("</style>")[0]
    text.replace("\ud800", "").encode("utf-8")


def test_every_plot_has_a_text_alternative_and_a_table(result):
    text = page(result)
    plots = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    for plot in plots:
        svg = ElementTree.fromstring(plot)
        assert svg.get("role") == "img"
        assert svg[0].tag == "title"
        assert svg[1].tag == "desc"
        assert len(svg[1].text) > 10
        assert svg.get("aria-label").startswith(svg[0].text)
    assert text.count("<figure>") == len(plots)
    tables = re.findall(r"<table>(.*?)</table>", text, flags=re.DOTALL)
    assert all(table.startswith("<caption>") and 'scope="col"' in table for table in tables)
    assert len(tables) >= len(set(re.findall(r"<figcaption>(\w+)", text)) - {"Outliers", "Size", "Time"})


def test_every_figure_of_the_plots_stands_in_a_table():
    made = sample_result.result()
    tables = "".join(re.findall(r"<table>.*?</table>", page(made), flags=re.DOTALL))
    for layer in made.layers:
        assert f"{layer.graph}/{layer.name}<small>{layer.op}<" in tables
    for row in made.clock:
        assert f">{row.median_us:.1f}<" in tables


def test_the_page_shows_all_plots():
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page(sample_result.result()))
    begin = [
        "Median time",
        "Distance from float",
        "SQNR per",
        "Outliers",
        "SQNR per",
        "Outliers",
        "Size against",
        "Time against",
    ]
    assert [title[: len(b)] for title, b in zip(titles, begin, strict=True)] == begin


def test_a_poisoned_layer_is_the_first_line_and_is_named_in_a_sentence():
    made = sample_result.result()
    for engine in ("litert", "onnx"):
        assert layers_of(made, engine)[0].name == sample_result.POISONED
    name = f"encoder/{sample_result.POISONED}"
    (sentence,) = [s for s in sentences(made) if "median channel" in s]
    assert sentence == f"{name}: channel 17 is 1013x as large as the median channel; it stayed float"
    text = terminal(made)
    heading = text.index("layers, LiteRT")
    assert name in text[heading:].splitlines()[2]
    assert sentence in page(made)


def test_layers_without_a_figure_come_last_and_lost_ones_first():
    layer = sample_result.layers(1)[0]
    none = replace(layer, name="none", weight_sqnr_db=None, activation_sqnr_db=None)
    lost = replace(layer, name="lost", activation_sqnr_db=math.nan)
    fine = replace(layer, name="fine", activation_sqnr_db=math.inf)
    poor = replace(layer, name="poor", activation_sqnr_db=None, weight_sqnr_db=3.0)
    assert [layer.name for layer in sorted([none, fine, poor, lost], key=badness)] == ["lost", "poor", "fine", "none"]
    text = terminal(sample_result.result(layers=(none, lost, fine, poor)))
    assert "nan" not in text
    assert "inf" not in text
    assert "exact" in text


def test_the_gate_says_pass_fail_and_shown():
    made = sample_result.result(passed=False, candidates=sample_result.nearest_fails())
    text = terminal(made)
    assert re.search(r"tensor +12\.8 dB +>= 35 dB +FAIL", text)
    assert re.search(r"snr +5 dB +shown", text)
    assert "gate, LiteRT static (none can be written; this one came furthest)" in text
    assert text.startswith("default 0.1.0: no int8 form is good enough; nothing was written")
    assert "✗ refused, nothing written" in page(made)
    assert re.search(r"mel +0\.041 +<= 0\.1 +pass", terminal(sample_result.result()))


def test_where_int8_does_not_pay_is_said_plainly():
    said = sentences(sample_result.result())
    assert "int8 does not pay here with ONNX Runtime: 0.96 times as fast as float at 4 hops per call" in said
    slow = tuple(replace(row, ratio=0.8) if row.precision == "int8" else row for row in sample_result.clock())
    said = sentences(sample_result.result(clock=slow))
    assert sum("does not pay" in sentence for sentence in said) == 2
    assert not any("int8 pays" in sentence for sentence in said)
    assert all("the smaller file" in sentence for sentence in said[:2])


def test_an_estimate_is_shown_with_its_arithmetic():
    made = sample_result.result()
    for text in (terminal(made).replace("\n    ", " "), page(made)):
        assert "estimate for Raspberry Pi 4, litert int8, 1 hop per call, one core: 1.58 ms" in text
        assert "estimate of memory: (3.57 MB - half of 0.8 MB cache) / 4.5 GB/s = 0.70 ms" in text
        assert "AMD EPYC; cores 2; int8 AVX2, AVX512-VNNI; int8 has dot products here" in text
        assert "{" not in text.partition("</style>")[2]


def test_a_note_that_repeats_a_sentence_is_said_once():
    said = sentences(sample_result.result())
    again = sentences(sample_result.result(notes=(said[0], "another")))
    assert again.count(said[0]) == 1
    assert again[-1] == "another"


def test_the_files_are_written_whole_or_not_at_all(tmp_path):
    made = hostile_result()
    for suffix in ("html", "json", "txt"):
        path = tmp_path / f"report.{suffix}"
        write_report(made, path)
        path.read_text(encoding="utf-8")
        with pytest.raises(OutputError, match="--force"):
            write_report(made, path)
        write_report(made, path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert stored["model"] == HOSTILE[0]
    assert stored["layers"][6]["name"] == HOSTILE[6]


def test_a_report_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.html, \.json, \.txt"):
        write_report(sample_result.result(), tmp_path / "report.pdf")
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_report(sample_result.result(), tmp_path / "none" / "report.html")


def test_text_becomes_markup_only_through_element():
    assert element("p", "a < b & c", Markup("<b>x</b>")) == "<p>a &lt; b &amp; c<b>x</b></p>"
    assert element("p", class_='"x"', data_y="<") == '<p class="&quot;x&quot;" data-y="&lt;"></p>'
    assert join(["<", None, Markup("<")]) == "&lt;<"


def test_a_long_name_keeps_both_ends():
    assert shorten("encoder/blocks.11.expand.weight", 20) == "encod...xpand.weight"
    assert columns(shorten("名前" * 60, 21)) <= 21
    assert shorten("short", 20) == "short"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.04, "0.04"), (0.0405, "0.0405"), (1.014, "1.01"), (35.0, "35"), (132.4, "132"), (1e-5, "1.0e-05"),
     (math.nan, "no figure"), (math.inf, "no figure"), (3_000_000.0, "3.0e+06"), (-2.5, "-2.5"), (1000.0, "1000")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    "values", [(), (0.0,), (5.0, 5.0), (-3.0, 2.0), (1e-9, 1e9), (math.nan, math.inf, 3.0), (-1.0, -2.0)]
)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_an_axis_shows_any_numbers(values, logarithmic):
    axis = Axis.over(values, 100, 700, logarithmic=logarithmic)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    for value in [*ticks, *(v for v in values if math.isfinite(v))]:
        assert 100 <= axis.at(value) <= 700
    assert axis.at(ticks[0]) < axis.at(ticks[-1])


def test_plots_leave_gaps_where_there_is_no_figure():
    words = {"title": "t", "description": "d"}
    bars = bar_chart([Bars("x", (None, math.nan), ("-", "lost"))], ("a", "b"), unit="dB", **words)
    assert bars.count("<rect") == 0
    assert "lost" in bars
    assert "nan" not in line_chart([[math.nan, 1.0, math.inf]], ["a"], x_unit="x", y_unit="y", **words)
    assert "<svg" in scatter([Point(1.0, 2.0, 0, "1", "one")], ["a"], x_unit="x", y_unit="y", **words)
    assert "<svg" in line_chart([], [], x_unit="x", y_unit="y", **words)
