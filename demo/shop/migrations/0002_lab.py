from django.db import migrations, models

KEY = models.BigAutoField(
    auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Visit",
            fields=[
                ("id", KEY),
                ("product", models.CharField(max_length=40)),
                ("hour", models.PositiveSmallIntegerField()),
                ("seconds", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Enquiry",
            fields=[
                ("id", KEY),
                ("places", models.JSONField(default=list)),
                ("refusals", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[("id", KEY), ("cents", models.PositiveIntegerField(default=4990))],
        ),
    ]
