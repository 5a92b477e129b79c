"""Corpora, phone alignment, augmentation and the training features."""
