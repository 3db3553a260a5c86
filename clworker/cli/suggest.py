"""What TAB offers for the value of an option or an argument: callbacks for ``shell_complete=``."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Suggestions = list[CompletionItem]
Suggest = Callable[[click.Context, click.Parameter, str], Suggestions]


def words(*choices: str) -> Suggest:
    """Offer these words."""

    def suggest(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
        return _fitting(choices, incomplete)

    return suggest


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer files; the shell finds them."""
    return [CompletionItem(incomplete, type="file")]


def folders(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer folders; the shell finds them."""
    return [CompletionItem(incomplete, type="dir")]


def task_types(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer the task types of the installed plugins."""
    from clworker.core import glance

    return _fitting(glance.task_types(), incomplete)


def task_list(context: click.Context, parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer a further task type of a list with commas."""
    given, comma, last = incomplete.rpartition(",")
    named = given.split(",")
    return [
        CompletionItem(f"{given}{comma}{item.value}")
        for item in task_types(context, parameter, last)
        if item.value not in named
    ]


def worker_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer the workers that the database remembers."""
    from clworker.core import glance

    return _fitting(glance.worker_ids(), incomplete)


def job_ids(*statuses: str) -> Suggest:
    """Offer ids of jobs, of these statuses if any are named, and none that was given already."""

    def suggest(context: click.Context, parameter: click.Parameter, incomplete: str) -> Suggestions:
        from clworker.core import glance

        given = context.params.get(parameter.name or "") or ()
        found = glance.job_ids(incomplete, statuses)
        return [CompletionItem(job_id, help=what) for job_id, what in found if job_id not in given]

    return suggest


def task_options(context: click.Context, incomplete: str) -> Suggestions:
    """Offer options for parameters that earlier jobs of the task had."""
    names = (name.removesuffix("=").replace("_", "-") for name in _parameters(context))
    return _fitting((f"--{name}" for name in names), incomplete)


def task_parameters(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Suggestions:
    """Offer names of parameters that earlier jobs of the task had; its schema would cost an import."""
    return _fitting(_parameters(context), incomplete)


def _parameters(context: click.Context) -> list[str]:
    from clworker.core import glance

    # With an option that still wants its value, click puts no argument into its place.
    task = context.params.get("task") or next(iter(context.args), None)
    return glance.parameters(task) if task else []


def _fitting(choices: Iterable[str], incomplete: str) -> Suggestions:
    return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]
