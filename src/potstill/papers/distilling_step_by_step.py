"""Distilling step-by-step: Hsieh and others.

"Distilling Step-by-Step! Outperforming Larger Language Models with Less Training Data and Smaller
Model Sizes", arXiv 2305.02301; code google-research/distilling-step-by-step @ ef944263. Here are
its two tasks, told apart by their first word, and its loss, which gives both one half. A student is
asked by ``predict`` alone.

Published: a T5 of 770M surpasses few-shot PaLM 540B on ANLI with 80% of its data; no table that
could be recomputed is at hand.

Otherwise here: any model can be the teacher, and rationales with a wrong answer are dropped.
"""

from potstill.prompts.formats import DataFormat

# The line break is the prompt's: many tokenizers join it with a question mark before it.
PREDICT = DataFormat(
    name="predict",
    template="predict: {question}",
    mark="\n",
    reply="{answer}",
    reading="the answer alone.",
)

EXPLAIN = DataFormat(
    name="explain",
    template="explain: {question}",
    mark="\n",
    reply="{rationale}",
    reading="the reasoning alone.",
)

PREDICT_EXPLAIN = {"predict": 0.5, "explain": 0.5}
