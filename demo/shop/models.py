"""The shop's models."""

from pathlib import Path

from django.conf import settings
from django.db import models


class Photo(models.Model):
    """An uploaded picture."""

    image = models.ImageField(upload_to="photos")

    def __str__(self) -> str:
        return self.image.name

    @property
    def previews(self) -> Path:
        """The folder of the smaller pictures made from it."""
        return Path(settings.MEDIA_ROOT, "previews", str(self.pk))


class PictureImport(models.Model):
    """One import of twelve pictures."""

    def __str__(self) -> str:
        return f"Picture import {self.pk}"

    @property
    def folder(self) -> Path:
        """The folder of what is made from the pictures."""
        return Path(settings.MEDIA_ROOT, "imports", str(self.pk))

    def original(self, number: int) -> Path:
        """The file of a picture as it arrived."""
        return self.folder / f"original-{number}.jpg"

    def url(self, name: str) -> str:
        """The URL of a file in the folder."""
        return f"{settings.MEDIA_URL}imports/{self.pk}/{name}"


class OrderImport(models.Model):
    """One import of a file of orders."""

    path = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.path


class Order(models.Model):
    """One order of an imported file."""

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
    """One email to all customers."""

    jobs = models.JSONField(default=list)
    """Ids of the jobs that send it in the background."""

    def __str__(self) -> str:
        return f"Newsletter {self.pk}"


class Visit(models.Model):
    """One view of a product."""

    product = models.CharField(max_length=40)
    hour = models.PositiveSmallIntegerField()
    seconds = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.product}: {self.seconds} s"


class Enquiry(models.Model):
    """One series of requests for the places of all parcels."""

    places = models.JSONField(default=list)
    """Places received so far, in the order of the parcels' numbers."""
    refusals = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Enquiry {self.pk}"


class StockRound(models.Model):
    """One round of calls to the supplier, for all customers."""

    job = models.UUIDField(null=True)
    """The workflow that makes the calls."""

    def __str__(self) -> str:
        return f"Stock round {self.pk}"


class Call(models.Model):
    """One call to the supplier."""

    round = models.ForeignKey(StockRound, models.CASCADE)
    turn = models.PositiveSmallIntegerField()
    """As which call of the round the supplier answered it."""
    customer = models.PositiveSmallIntegerField()

    def __str__(self) -> str:
        return f"{self.turn}: customer {self.customer}"


class Payment(models.Model):
    """An amount that a customer owes."""

    cents = models.PositiveIntegerField(default=4990)

    def __str__(self) -> str:
        return f"Payment {self.pk}"


class Run(models.Model):
    """A visitor's run of an experiment: its result, or the job that does the work."""

    visitor = models.CharField(max_length=40)
    """Key of the session."""
    experiment = models.CharField(max_length=10)
    result = models.JSONField(null=True)
    job = models.UUIDField(null=True)

    class Meta:
        ordering = ("pk",)
        indexes = (models.Index(fields=("visitor", "experiment"), name="shop_run_visitor"),)

    def __str__(self) -> str:
        return f"{self.experiment} by {self.visitor}"
