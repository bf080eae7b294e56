from django.db import migrations, models

KEY = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_lab")]

    operations = [migrations.CreateModel(name="PictureImport", fields=[("id", KEY)])]
