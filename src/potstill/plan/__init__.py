"""plan: what a run will ask, cost and take, said before its first request."""

from potstill.plan.plan import Plan, plan_run, probe_run
from potstill.plan.table import plan_page
from potstill.plan.throughput import Probe

__all__ = ["Plan", "Probe", "plan_page", "plan_run", "probe_run"]
