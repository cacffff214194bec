"""plan: a recipe → the requests, dollars and hours its run will take, before the first request."""

from potstill.plan.plan import Plan, plan_run, probe_run
from potstill.plan.plan_values import plan_values
from potstill.plan.table import plan_page
from potstill.plan.throughput import Probe

__all__ = ["Plan", "Probe", "plan_page", "plan_run", "plan_values", "probe_run"]
