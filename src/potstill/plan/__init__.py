"""plan: what a run will ask, cost and take, said before its first request."""

from potstill.plan.pace import Probe
from potstill.plan.page import plan_page
from potstill.plan.planning import Plan, plan_run
from potstill.plan.probing import probe_run

__all__ = ["Plan", "Probe", "plan_page", "plan_run", "probe_run"]
