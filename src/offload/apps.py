"""The app configuration."""

from django.apps import AppConfig


class OffloadConfig(AppConfig):
    """The app `offload`, with its models and system checks."""

    name = "offload"
    verbose_name = "Background jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from offload import checks  # noqa: F401, PLC0415  # registers them; needs the app registry
        from offload.deleted_users import watch_deletions  # noqa: PLC0415  # needs the app registry

        watch_deletions()
