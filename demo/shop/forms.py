"""The shop's forms."""

from django import forms
from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest

from shop.models import Photo


class PhotoForm(forms.ModelForm):
    """An uploaded picture."""

    class Meta:
        model = Photo
        fields = ("image",)


def receive_photo(request: HttpRequest) -> Photo:
    """Store the uploaded picture, or the sample photo if none was uploaded.

    Raises:
        BadRequest: if it is no picture.
    """
    form = PhotoForm(request.POST, request.FILES or {"image": sample()})
    if not form.is_valid():
        raise BadRequest(" ".join(str(error) for error in form.errors["image"]))
    return form.save()


def sample() -> SimpleUploadedFile:
    """Return the sample photo as an upload."""
    return SimpleUploadedFile("photo.jpg", (settings.SAMPLES / "photo.jpg").read_bytes())
