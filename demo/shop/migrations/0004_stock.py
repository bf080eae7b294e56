import django.db.models.deletion
from django.db import migrations, models

KEY = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
ROUND = models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="shop.stockround")


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_pictureimport")]

    operations = [
        migrations.CreateModel(
            name="StockRound",
            fields=[("id", KEY), ("job", models.UUIDField(null=True))],
        ),
        migrations.CreateModel(
            name="Call",
            fields=[
                ("id", KEY),
                ("turn", models.PositiveSmallIntegerField()),
                ("customer", models.PositiveSmallIntegerField()),
                ("round", ROUND),
            ],
        ),
    ]
