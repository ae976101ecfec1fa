"""Checks of every image and annotation of a config's data sets."""
