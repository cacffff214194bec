"""advise: a few rationales of each teacher → which suit the student, before the many are paid."""

from potstill.advise.advice import Advice, AdvicePlan, advise, plan_advice
from potstill.advise.advice_table import advice_json, advice_page, plan_lines

__all__ = [
    "Advice",
    "AdvicePlan",
    "advice_json",
    "advice_page",
    "advise",
    "plan_advice",
    "plan_lines",
]
