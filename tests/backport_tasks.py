"""A task of a package that knows only the `django_tasks` backport."""

from django_tasks import task


@task()
def index(text: str) -> str:
    return text.lower()
