"""What the shop stores."""

from pathlib import Path

from django.conf import settings
from django.db import models


class Photo(models.Model):
    """A picture somebody uploaded."""

    image = models.ImageField(upload_to="photos")

    def __str__(self) -> str:
        return self.image.name

    @property
    def previews(self) -> Path:
        """The folder of the smaller pictures made from it."""
        return Path(settings.MEDIA_ROOT, "previews", str(self.pk))


class OrderImport(models.Model):
    """One reading of a file of orders."""

    path = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.path


class Order(models.Model):
    """One line of such a file."""

    order_import = models.ForeignKey(OrderImport, models.CASCADE)
    number = models.PositiveIntegerField()
    ordered_on = models.DateField()
    country = models.CharField(max_length=2)
    product = models.CharField(max_length=40)
    quantity = models.PositiveSmallIntegerField()
    cents = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.number}: {self.quantity} x {self.product}"


class Newsletter(models.Model):
    """One letter to all customers."""

    jobs = models.JSONField(default=list)
    """The ids of the jobs that send it, if it goes out in the background."""

    def __str__(self) -> str:
        return f"Newsletter {self.pk}"


class Visit(models.Model):
    """Somebody has looked at a product."""

    product = models.CharField(max_length=40)
    hour = models.PositiveSmallIntegerField()
    seconds = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.product}: {self.seconds} s"


class Enquiry(models.Model):
    """One round of asking the courier where the parcels are."""

    places = models.JSONField(default=list)
    """What it said so far, in the order of the parcels' numbers."""
    refusals = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Enquiry {self.pk}"


class Payment(models.Model):
    """Money that a customer owes."""

    cents = models.PositiveIntegerField(default=4990)

    def __str__(self) -> str:
        return f"Payment {self.pk}"


class Run(models.Model):
    """An experiment that a visitor has done: what came of it, or the job that does it."""

    visitor = models.CharField(max_length=40)
    """The key of the session."""
    experiment = models.CharField(max_length=10)
    result = models.JSONField(null=True)
    job = models.UUIDField(null=True)

    class Meta:
        ordering = ("pk",)
        indexes = (models.Index(fields=("visitor", "experiment"), name="shop_run_visitor"),)

    def __str__(self) -> str:
        return f"{self.experiment} by {self.visitor}"
