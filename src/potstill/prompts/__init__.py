"""How models are asked (prompt styles) and what students are trained on (data formats)."""
