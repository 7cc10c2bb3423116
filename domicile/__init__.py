"""Domicile: one model, many jurisdictions; the data stays home, and anyone can check that it did."""

__version__ = "0.1.0"
