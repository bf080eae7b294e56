"""The forms of the admin: of a schedule, and of a pause."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminSplitDateTime
from django.utils.translation import gettext_lazy as _

from offload.admin.words import CATCH_UP_CHOICES, LABELS, OVERLAP_CHOICES
from offload.exceptions import InvalidSchedule
from offload.models import Schedule
from offload.schedules.changes import require_new_name, validate_arguments
from offload.schedules.definitions import OPTIONS, Schedulable, define
from offload.serialization import decode
from offload.store.schedule_records import ADMIN
from offload.tasks import schedulable_tasks
from offload.worker.child.project import import_tasks

if TYPE_CHECKING:
    _Form = forms.ModelForm[Schedule]
else:
    _Form = forms.ModelForm


class ArgumentsField(forms.JSONField):
    """Arguments as JSON; empty for none."""

    widget = forms.Textarea(attrs={"rows": 2, "cols": 60})

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class ScheduleForm(_Form):
    """The options of a schedule that is made in the admin."""

    name = forms.CharField(label=LABELS["name"], max_length=100)
    task = forms.ChoiceField(label=_("Task"))
    args = ArgumentsField(label=LABELS["args"], required=False, help_text='["a", 1]')
    kwargs = ArgumentsField(label=LABELS["kwargs"], required=False, help_text='{"kind": "weekly"}')
    cron = forms.CharField(
        label=_("Cron expression"),
        required=False,
        help_text=_("Minute, hour, day of the month, month, day of the week: 0 3 * * *"),
    )
    every = forms.DurationField(
        label=_("Interval"),
        required=False,
        help_text=_("Instead of an expression: hours:minutes:seconds"),
    )
    timezone = forms.CharField(label=LABELS["timezone"], max_length=64)
    start = forms.SplitDateTimeField(
        label=LABELS["start"], required=False, widget=AdminSplitDateTime
    )
    end = forms.SplitDateTimeField(label=LABELS["end"], required=False, widget=AdminSplitDateTime)
    jitter = forms.FloatField(
        label=LABELS["jitter"], required=False, min_value=0, help_text=_("Seconds")
    )
    catch_up = forms.ChoiceField(label=LABELS["catch_up"], choices=list(CATCH_UP_CHOICES.items()))
    deadline = forms.FloatField(
        label=LABELS["deadline"],
        required=False,
        min_value=0,
        help_text=_("Seconds"),
    )
    overlap = forms.ChoiceField(label=LABELS["overlap"], choices=list(OVERLAP_CHOICES.items()))
    priority = forms.IntegerField(label=LABELS["priority"], required=False)
    queue_name = forms.CharField(label=LABELS["queue_name"], required=False, max_length=64)

    class Meta:
        model = Schedule
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" not in self.fields:  # shown, not edited
            return
        import_tasks()  # a web server may have imported only those that its views use
        tasks: Any = self.fields["task"]
        tasks.choices = [(path, path) for path in sorted(schedulable_tasks)]
        self.initial = {**_initial(self.instance), **self.initial}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                validate_arguments(self.chosen_task(), self.options())
                define(self.target(), self.expression(), self.options())
                if not self.instance.name:  # a new one
                    require_new_name(self.chosen_task(), self._name())
            except InvalidSchedule as error:
                self.add_error(error.option if error.option in self.fields else None, str(error))
        return cleaned

    def _post_clean(self) -> None:
        """Make no instance, as a ModelForm would: `offload.schedules` writes the row."""

    def target(self) -> Schedulable:
        return Schedulable(self.chosen_task(), self._name(), ADMIN)

    def chosen_task(self) -> Any:
        return schedulable_tasks[self.cleaned_data["task"]]

    def expression(self) -> str | None:
        return self.cleaned_data["cron"] or None

    def options(self) -> Any:
        names = set(OPTIONS) & self.cleaned_data.keys()
        values = {name: self.cleaned_data[name] for name in names}
        return {name: value for name, value in values.items() if value not in (None, "")}

    def _name(self) -> str:
        return str(self.cleaned_data.get("name") or self.instance.name)


DATE: dict[str, Any] = {"class": "vTextField", "aria-label": _("Date")}
TIME: dict[str, Any] = {"class": "vTextField", "aria-label": _("Time")}
"""Attributes of the two inputs of a moment, which share a visible label."""


class PauseForm(forms.Form):
    """Why schedules are paused, and until when."""

    reason = forms.CharField(label=_("Reason"), required=False)
    until = forms.SplitDateTimeField(
        label=_("Until"),
        required=False,
        widget=forms.SplitDateTimeWidget(
            date_attrs={"type": "date", **DATE}, time_attrs={"type": "time", **TIME}
        ),
    )


def _initial(row: Schedule) -> dict[str, Any]:
    """Return the values of a form for a schedule."""
    if not row.name:
        return {"timezone": settings.TIME_ZONE}
    args, kwargs = decode(str(row.arguments))
    return {
        **{name: getattr(row, name) for name in ("name", "cron", "timezone", "jitter", "catch_up")},
        **{name: getattr(row, name) for name in ("deadline", "overlap", "priority", "queue_name")},
        "task": row.task_path,
        "args": args or None,
        "kwargs": kwargs or None,
        "every": None if row.every is None else timedelta(microseconds=row.every),
        "start": row.start_at,
        "end": row.end_at,
    }
