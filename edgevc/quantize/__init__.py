"""Turns a float model into an int8 one that is proven smaller, faster and as good, or refuses and says why."""
