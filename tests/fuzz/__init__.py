"""What the fuzzers run, and the program that runs them."""
