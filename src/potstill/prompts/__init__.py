"""Prompt styles, in which models are asked, and data formats, on which students are trained."""
