"""What people may send to the shop."""

from django import forms

from shop.models import Photo


class PhotoForm(forms.ModelForm):
    """An uploaded picture."""

    class Meta:
        model = Photo
        fields = ("image",)
