"""Figures of a model on labelled pictures, and two models compared on the same ones."""
