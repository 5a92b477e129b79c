"""Spoken commands: what was said, from the encoder's phone posteriors and a grammar of what may be said.

`posteriors` runs a bundle's encoder. `toml_grammar`, `home_assistant` (both with `sentences` and `slot_values`) and
`rhino` read grammars into the trees of `grammar`, `automaton` makes them finite-state, `lexicon` knows pronunciations,
`network` joins both into states, `search` searches them (`reference` says how, in NumPy), `evidence` weighs what was
found, `recognizer` does it for a stream, `armed` behind one of the phrases of `wake`. `command_set` is a grammar file
made ready; `spoken_commands` joins it and an encoder: sound in, commands out. `phone_loop` decodes without a grammar.
"""
