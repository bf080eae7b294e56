"""Schedules in Django's admin."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import dateformat
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from offload import schedules
from offload.admin.forms import PauseForm, ScheduleForm
from offload.admin.words import (
    CATCH_UP_CHOICES,
    EMPTY,
    LABELS,
    NOT_IN_CODE,
    OVERLAP_CHOICES,
    SKIPPED_WHY,
    SOURCES,
    STATES,
    WAITS,
)
from offload.exceptions import InvalidSchedule
from offload.models import Schedule
from offload.operators import MAX_NAME_CHARS
from offload.policies.cron import make_cron
from offload.policies.ticks import Timing
from offload.schedules.stored import StoredSchedule
from offload.schedules.words import cron_in_words
from offload.serialization import decode
from offload.store.schedule_records import ADMIN
from offload.timestamps import now_microseconds, to_datetime, to_utc

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.urls import URLPattern

    _Admin = admin.ModelAdmin[Schedule]
else:
    _Admin = admin.ModelAdmin

PREVIEWED = 5
"""Ticks that are shown."""
COLUMNS = (
    *("name", "task_shown", "args_shown", "kwargs_shown", "when_shown", "timezone_shown"),
    *("preview", "start_shown", "end_shown", "jitter_shown", "catch_up_shown", "deadline_shown"),
    *("overlap_shown", "priority_shown", "queue_shown"),
)
"""What is shown of a schedule that cannot be changed here."""
STATE = (
    *("source_shown", "state_shown", "problem_shown", "pause_shown", "last_tick_shown"),
    "skipped_shown",
)
"""What the page of a schedule shows; options without a value are left out."""
_NAMES = tuple(ScheduleForm.base_fields)
_AFTER = _NAMES.index("timezone") + 1
EDITED = (*_NAMES[:_AFTER], "preview", *_NAMES[_AFTER:])
"""The options that staff can change, of a schedule that was made in the admin."""


def option_shown(name: str, column: str = "") -> Any:
    """Return a column of the admin that shows the value of an option in the words of the form.

    Args:
        name: of the option.
        column: its name in the table, if it has another one.
    """

    @admin.display(description=LABELS[name])
    def shown(_admin: ScheduleAdmin, obj: Schedule) -> str:
        value = getattr(obj, column or name)
        if value in (None, "", 0.0):
            return EMPTY
        if isinstance(value, datetime):
            return _shown(value, str(obj.timezone))
        choices = {"catch_up": CATCH_UP_CHOICES, "overlap": OVERLAP_CHOICES}.get(name, {})
        return str(choices.get(str(value), value))

    return shown


class SourceFilter(admin.SimpleListFilter):
    """Lets staff choose schedules by where they are defined."""

    title = _("place of definition")
    parameter_name = "source"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, Any]]:
        return list(SOURCES.items())

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        return queryset.filter(source=self.value()) if self.value() else queryset


@admin.register(Schedule)
class ScheduleAdmin(_Admin):
    """Lists schedules, and makes and changes those that are not in the code."""

    form = ScheduleForm
    list_display = ("name", "when_shown", "state_shown", "next_run_shown", "task_shown")
    list_filter = (SourceFilter, "backend")
    search_fields = ("name", "task_path")
    ordering = ("name",)
    actions = ("pause_selected", "resume_selected", "run_selected")

    class Media:
        js = ("offload/schedule-preview.js",)

    # --- who may do what ------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        is_own = obj is None or obj.source == ADMIN
        return is_own and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        is_own = obj is None or obj.source == ADMIN or obj.retired_at is not None
        return is_own and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, _request: HttpRequest, obj: Schedule | None = None) -> Any:
        return (*STATE, *(name for name in COLUMNS if name != "name" or obj))

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": EDITED})]
        options = EDITED if self.has_change_permission(request, obj) else COLUMNS
        state = [name for name in STATE if getattr(self, name)(obj)]
        return [(None, {"fields": state}), (_("Options"), {"fields": options})]

    # --- changes --------------------------------------------------------------------------

    def save_model(self, _request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:  # noqa: FBT001
        write = schedules.change if change else schedules.create
        target = form.target()
        write(target.name, target.task, form.expression(), **form.options())
        obj.name = target.name

    def delete_model(self, _request: HttpRequest, obj: Schedule) -> None:
        _stored(obj).delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, StoredSchedule.delete)

    @admin.action(description=_("Pause selected schedules"), permissions=["change"])
    def pause_selected(
        self, request: HttpRequest, queryset: QuerySet[Schedule]
    ) -> HttpResponse | None:
        form = PauseForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            name = request.user.get_username()[:MAX_NAME_CHARS]
            pause = {**form.cleaned_data, "changed_by": name}
            self._each(request, queryset, lambda stored: stored.pause(**pause))
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Pause selected schedules"),
            "opts": self.opts,
            "form": form,
            "rows": queryset,
        }
        return TemplateResponse(request, "admin/offload/schedule/pause.html", context)

    @admin.action(description=_("Resume selected schedules"), permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, StoredSchedule.resume)

    @admin.action(description=_("Run selected schedules now"), permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, StoredSchedule.run_now)

    def _each(self, request: HttpRequest, queryset: QuerySet[Schedule], change: Any) -> None:
        """Change schedules one by one; say which could not be changed."""
        done = 0
        for row in queryset:
            try:
                change(_stored(row))
            except (InvalidSchedule, LookupError) as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                done += 1
        if done:
            self.message_user(request, f"{_('Done')}: {done}", messages.SUCCESS)

    # --- the preview ----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        return [path("preview/", view, name="offload_schedule_preview"), *super().get_urls()]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Return what an expression means, and when it ticks."""
        cron = request.GET.get("cron", "")
        zone = request.GET.get("timezone") or settings.TIME_ZONE
        if not self.has_view_permission(request) or not cron:
            return JsonResponse({"words": "", "ticks": []})
        try:
            words = cron_in_words(cron, zone)
        except ValueError as error:
            return JsonResponse({"words": str(error), "ticks": []})
        ticks = islice(Timing(cron, None, zone).ticks_after(now_microseconds()), PREVIEWED)
        shown = [_shown(to_datetime(tick), zone) for tick in ticks]
        return JsonResponse({"words": words, "ticks": shown})

    @admin.display(description=_("Next runs"))
    def preview(self, obj: Schedule | None) -> str:
        words, lines = "", []
        if obj is not None and obj.pk:
            stored = _stored(obj)
            words = stored.in_words
            lines = [_shown(tick, str(obj.timezone)) for tick in stored.next_runs(PREVIEWED)]
        return format_html(
            '<output class="schedule-preview" data-url="{}"><span>{}</span><ul>{}</ul></output>',
            reverse(f"{self.admin_site.name}:offload_schedule_preview"),
            words,
            format_html_join("", "<li>{}</li>", ((line,) for line in lines)),
        )

    # --- columns --------------------------------------------------------------------------

    timezone_shown = option_shown("timezone")
    start_shown = option_shown("start", "start_at")
    end_shown = option_shown("end", "end_at")
    jitter_shown = option_shown("jitter")
    catch_up_shown = option_shown("catch_up")
    deadline_shown = option_shown("deadline")
    overlap_shown = option_shown("overlap")
    priority_shown = option_shown("priority")
    queue_shown = option_shown("queue_name")

    @admin.display(description=LABELS["args"])
    def args_shown(self, obj: Schedule) -> str:
        return _json(decode(str(obj.arguments))[0])

    @admin.display(description=LABELS["kwargs"])
    def kwargs_shown(self, obj: Schedule) -> str:
        return _json(decode(str(obj.arguments))[1])

    @admin.display(description=_("When"))
    def when_shown(self, obj: Schedule) -> str:
        return format_html('<span class="nowrap">{}</span>', obj.cron or _stored(obj).in_words)

    @admin.display(description=_("Task"), ordering="task_path")
    def task_shown(self, obj: Schedule) -> str:
        return str(obj.task_path)

    @admin.display(description=_("Defined in"))
    def source_shown(self, obj: Schedule) -> str:
        return str(SOURCES[str(obj.source)])

    @admin.display(description=_("Last tick"))
    def last_tick_shown(self, obj: Schedule) -> str:
        last = obj.last_tick_at
        return "" if last is None else _shown(last, str(obj.timezone))

    @admin.display(description=_("Skipped ticks"))
    def skipped_shown(self, obj: Schedule) -> str:
        if obj.skipped_at is None:
            return ""
        why = SKIPPED_WHY.get(str(obj.skipped_why), "")
        return f"{obj.skipped} ({_shown(obj.skipped_at, str(obj.timezone))}: {why})"

    @admin.display(description=_("State"))
    def state_shown(self, obj: Schedule) -> str:
        stored = _stored(obj)
        return str(WAITS if stored.full_queue else STATES[stored.state])

    @admin.display(description=_("Next run"), ordering="next_run_at")
    def next_run_shown(self, obj: Schedule) -> str:
        next_run = _stored(obj).next_run_at
        shown = EMPTY if next_run is None else _shown(next_run, str(obj.timezone))
        return format_html('<span class="nowrap">{}</span>', shown)

    @admin.display(description=_("Problem"))
    def problem_shown(self, obj: Schedule) -> str:
        return str(NOT_IN_CODE) if obj.retired_at is not None else _stored(obj).problem

    @admin.display(description=_("Pause"))
    def pause_shown(self, obj: Schedule) -> str:
        if obj.paused_at is None:
            return ""
        until = "" if obj.paused_until is None else _shown(obj.paused_until, settings.TIME_ZONE)
        return ", ".join(filter(None, [str(obj.reason), str(obj.changed_by), until]))


def _stored(row: Schedule) -> StoredSchedule:
    return StoredSchedule(row, row._state.db or "default")  # noqa: SLF001  # documented by Django


def _shown(moment: datetime, zone: str) -> str:
    """Return a time in the time zone of a schedule, with the reader's names of days."""
    try:
        local = to_utc(moment).astimezone(make_cron("@daily", zone).zone)
    except ValueError:
        local = to_utc(moment)
    return dateformat.format(local, "D Y-m-d H:i:s T")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else EMPTY
