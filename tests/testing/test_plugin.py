"""The pytest plugin, in separate projects."""

from __future__ import annotations

import textwrap

import pytest

from offload.testing import immediate
from offload.testing.unused import take_unused

pytest_plugins = ["pytester"]

SETTINGS = """
    SECRET_KEY = "only for tests"
    USE_TZ = True
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "offload"]
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
"""
TASKS = """
    from offload import task

    @task(max_attempts=2)
    def double(number):
        return 2 * number
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(project_settings=SETTINGS, project_tasks=TASKS)
    return pytester


def run(project: pytest.Pytester, tests: str, *, configured: bool = True) -> pytest.RunResult:
    settings = 'DJANGO_SETTINGS_MODULE = "project_settings"' if configured else ""
    project.makepyprojecttoml(
        f"""
        [tool.pytest.ini_options]
        pythonpath = ["."]
        strict = true
        filterwarnings = ["error"]
        {settings}
        """
    )
    project.makepyfile(test_it=textwrap.dedent(tests))
    options = ["-p", "no:randomly", "-p", "no:cacheprovider"]
    if not configured:
        options += ["-p", "no:django"]
    return project.runpytest_subprocess(*options)


def test_its_fixtures_need_no_import(project: pytest.Pytester):
    tests = """
        import pytest
        from django.tasks import TaskResultStatus
        from project_tasks import double

        def test_immediate(offload_immediate):
            assert double.enqueue(2).return_value == 4

        def test_recording(offload_recording, assert_enqueued, assert_not_enqueued, enqueued_jobs):
            assert_not_enqueued()
            assert double.enqueue(2).status == TaskResultStatus.READY
            assert_enqueued(double, args=[2])
            assert len(enqueued_jobs(double)) == 1

        def test_each_test_starts_without_jobs(offload_recording, assert_not_enqueued):
            assert_not_enqueued()

        @pytest.mark.django_db
        def test_run_jobs(run_jobs):
            double.enqueue(2)
            (result,) = run_jobs()
            assert result.return_value == 4

        @pytest.mark.django_db
        def test_the_database_is_used_again(enqueued_jobs):
            assert enqueued_jobs() == []
    """

    run(project, tests).assert_outcomes(passed=5)


def test_recorded_jobs_are_cleared_between_tests(project: pytest.Pytester):
    tests = """
        import pytest
        from project_tasks import double

        @pytest.mark.parametrize("number", [1, 2])
        def test_recording(number, assert_enqueued):
            double.enqueue(number)
            assert_enqueued(double, count=1)
    """
    settings = SETTINGS.replace(
        "offload.backends.database.DatabaseBackend", "offload.testing.RecordingBackend"
    )
    project.makepyfile(project_settings=settings)

    run(project, tests).assert_outcomes(passed=2)


def test_a_failed_assertion_fails_the_test(project: pytest.Pytester):
    tests = """
        from project_tasks import double

        def test_it(offload_recording, assert_enqueued):
            double.enqueue(2)
            assert_enqueued(double, args=[3])
    """

    result = run(project, tests)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*Expected: at least one job of project_tasks.double with args=[[]3[]]. Found: 0.",
            "E*project_tasks.double(2)*",
        ]
    )


def test_a_timeout_of_the_test_stops_the_task_and_the_test(project: pytest.Pytester):
    tests = """
        import threading
        import pytest
        from offload import task

        @task
        def hang():
            threading.Event().wait()

        @pytest.mark.timeout(1, method="signal")
        def test_it(offload_immediate):
            hang.enqueue()
    """

    result = run(project, tests)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*Timeout*"])


def test_it_imports_nothing_where_django_has_no_settings(project: pytest.Pytester):
    tests = """
        import sys
        from django.conf import settings

        def test_it():
            assert "offload.testing.plugin" in sys.modules
            assert not settings.configured
            loaded = [name for name in sys.modules if name.startswith("offload.testing")]
            assert sorted(loaded) == ["offload.testing", "offload.testing.plugin"]
            for name in ("offload.store", "offload.worker", "offload.backends", "django.test"):
                assert name not in sys.modules
    """

    run(project, tests, configured=False).assert_outcomes(passed=1)


def test_a_context_manager_that_is_not_entered_fails_the_test(project: pytest.Pytester):
    tests = """
        import pytest
        from offload.testing import assert_enqueues, immediate, recording
        from project_tasks import double

        pytestmark = [
            pytest.mark.django_db,
            pytest.mark.filterwarnings("ignore::RuntimeWarning"),
        ]

        def test_a_forgotten_assertion():
            assert_enqueues(double)
            double.enqueue(1)

        def test_a_forgotten_override():
            recording()

        def test_another_error_is_shown():
            immediate()
            raise ValueError("the cause")

        @recording()
        @assert_enqueues(double, count=1)
        def test_decorators():
            double.enqueue(1)

        def test_blocks():
            with recording(), assert_enqueues(double):
                double.enqueue(1)
            with pytest.raises(TypeError):
                assert_enqueues(1)
    """
    result = run(project, tests)

    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines_random(
        ["*write `with assert_enqueues(...):`*", "*write `with recording():`*", "*the cause*"]
    )


def test_a_context_manager_that_is_not_entered_warns_without_pytest():
    with pytest.warns(RuntimeWarning, match="with immediate"):
        immediate()
    take_unused()
