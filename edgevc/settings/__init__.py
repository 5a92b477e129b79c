"""Tables of settings: kinds of values, flags, variables and files made from one list."""
