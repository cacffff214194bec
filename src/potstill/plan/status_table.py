"""How far a run is, as the terminal shows it, and the list of a folder's runs."""

import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from potstill.plan.run_status import RunStatus, StageStatus
from potstill.runtime.cost_words import cost_words, dollars
from potstill.runtime.run_activity import CommandActivity, LoggedWork, LoggedWorkers
from potstill.runtime.tally import clock, rate_words


def stages_table(status: RunStatus) -> Table:
    """Returns the stages of a run as rich shows them, a row each."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for stage in status.stages:
        style = {"done": "", "missing": "dim"}.get(stage.state, "bold")
        words = (stage.stage, stage.state, _of_stage(stage, status.activity))
        table.add_row(*(Text(word, style=style) for word in words))
    return table


def head_line(status: RunStatus) -> str:
    """Returns which run it is, in a line."""
    return f"{status.folder}: {status.task}, {status.teacher} into {status.student}"


def fact_lines(status: RunStatus) -> Iterator[str]:
    """Yields what is to be known beside the stages, a line each, and the command that goes on."""
    yield activity_line(status)
    if newest := status.newest:
        loss = ""
        if newest.loss is not None:
            loss = f", loss {newest.loss:.4g} at step {newest.loss_step:,}"
        yield f"newest checkpoint: {newest.student} step {newest.step:,}{loss}"
    yield f"spent: {_spent(status)}; time: {clock(status.seconds)}"
    for reason, count in status.failures.items():
        yield f"{count:,} failed: {reason}"
    if faults := _faults(status.activity):
        yield faults
    if status.activity is not None:
        yield from _worker_lines(status.activity.workers, works=status.holder is not None)
    for note in status.notes:
        yield f"note: {note}"
    yield f"next: {status.next}"


def activity_line(status: RunStatus) -> str:
    """Returns who works on the run, or how its last command ended."""
    activity = status.activity
    if activity is None:
        return f"{status.holder} works on it" if status.holder else "no command has worked on it"
    command = f"potstill {activity.command}" if activity.command else "a command"
    if status.holder is not None:
        since = clock(max(time.time() - activity.began, 0))
        return f"{status.holder} works on it: {command}, for {since}"
    when = _ago(activity.last)
    if status.is_killed:
        return f"the last command, {command}, did not come to its end; it was last heard of {when}"
    if activity.interrupted:
        return f"the last command, {command}, was stopped {when}"
    with_error = f" with {activity.error}" if activity.error else ""
    return f"the last command, {command}, ended{with_error} {when}"


def work_words(work: LoggedWork) -> str:
    """Returns how far a piece of work is, how fast, and how long still."""
    if work.total is None:
        return f"{work.label}, {clock(work.seconds)} so far"
    parts = [f"{work.label} {work.done:,}/{work.total:,}"]
    if work.ended:
        return f"{parts[0]} in {clock(work.seconds)}"
    parts += [rate_words(work.rate)] if work.rate else []
    parts += [f"{work.token_rate:,.0f} tokens/s"] if work.token_rate else []
    left = work.seconds_left
    of_what = " of the stage" if work.is_part else ""
    parts.append(
        f"{clock(work.seconds)} so far" if left is None else f"{clock(left)} left{of_what}"
    )
    return "  ".join(parts)


def run_lines(statuses: Mapping[Path, RunStatus | str], folder: Path) -> Iterator[str]:
    """Yields the runs of a folder, a line each.

    Args:
        statuses: By the run's folder; of one that cannot be read, why.
        folder: The folder that they are in.
    """
    names = {place: place.relative_to(folder).as_posix() for place in statuses}
    widest = max(map(len, names.values()), default=0)
    for place, status in statuses.items():
        words = f"unreadable; potstill status {shlex.quote(str(place))} says why"
        if not isinstance(status, str):
            spent = _spent(status, short=True)
            words = "  ".join(filter(None, [_in_short(status), spent]))
        yield f"{names[place]:<{widest}}  {words}"


def _in_short(status: RunStatus) -> str:
    """Returns how far a run is in a few words."""
    stage, activity = status.reached, status.activity
    if stage.state == "done":
        return "done"
    words = f"{stage.stage} {stage.state}"
    if status.is_killed and activity:
        return f"{words}, stopped {_ago(activity.last)}"
    work = activity.work if activity and stage.state == "at work" else None
    if work is None or work.total is None:
        return words
    left = work.seconds_left
    return f"{words}, {work.done:,}/{work.total:,}" + (
        "" if left is None else f", {clock(left)} left"
    )


def _of_stage(stage: StageStatus, activity: CommandActivity | None) -> str:
    """Returns how far a stage is; where it is at work, by its own log."""
    work = activity.work if activity and stage.state == "at work" else None
    if work is None:
        return stage.detail
    return "; ".join(filter(None, [stage.detail.partition("; ")[0], work_words(work)]))


def _spent(status: RunStatus, *, short: bool = False) -> str:
    spent, limit = status.spent, status.limit
    if not spent.tokens and not spent.usd:
        return "" if short else "no server paid"
    paid = cost_words(spent.usd, status.unpriced).removeprefix("cost ")
    if short:
        return paid
    of = f" of {dollars(limit.usd)}" if limit.usd is not None else ""
    most = f" of {limit.tokens:,}" if limit.tokens is not None else ""
    return f"{paid}{of} for {spent.tokens:,}{most} tokens"


def _faults(activity: CommandActivity | None) -> str:
    """Returns how many requests the last command repeated and gave up, by kind."""
    if activity is None:
        return ""
    kinds = {"retried": activity.retries, "given up": activity.given_up}
    return "; ".join(
        f"requests {what} by the last command: {_by_kind(counts)}"
        for what, counts in kinds.items()
        if counts
    )


def _worker_lines(workers: LoggedWorkers, *, works: bool) -> Iterator[str]:
    """Yields how many workers on a cluster are at work, and why others were lost.

    Args:
        workers: The workers of the last command.
        works: Whether the command is at work.
    """
    if works and workers.any:
        yield f"workers at work on the cluster: {workers.at_work:,}"
    for reason, count in workers.lost.items():
        ended = "1 worker was" if count == 1 else f"{count:,} workers were"
        yield f"{ended} lost, and what they had in flight was asked again: {reason}"


def _by_kind(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


def _ago(moment: float) -> str:
    """Returns how long ago a moment was, in words; one in the future was just now."""
    seconds = max(time.time() - moment, 0.0)
    days, rest = divmod(round(seconds), 86_400)
    return f"{days:,} days ago" if days > 1 else f"{clock(rest + 86_400 * days)} ago"
