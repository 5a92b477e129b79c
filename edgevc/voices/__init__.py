"""Voices that did not come with a model: their files, the folder where they lie, and what they change in a decoder."""
