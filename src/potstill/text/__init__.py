"""Sentences, steps and common beginnings of texts."""
