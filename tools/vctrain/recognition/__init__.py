"""What was said, from the encoder's phone posteriors: free phones, and sentences of a command grammar.

`posteriors` runs a bundle's encoder; `expressions` reads grammars, `automaton` makes them finite-state, `lexicon`
knows pronunciations, `network` joins both into states, `decoder` searches them; `phone_loop` decodes without a grammar.
"""
