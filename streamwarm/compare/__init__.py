"""Compares records with the objects that they are of."""
