from django.db import migrations, models

KEY = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


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
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", KEY),
                ("visitor", models.CharField(max_length=40)),
                ("experiment", models.CharField(max_length=10)),
                ("result", models.JSONField(null=True)),
                ("job", models.UUIDField(null=True)),
            ],
            options={
                "ordering": ("pk",),
                "indexes": [
                    models.Index(fields=["visitor", "experiment"], name="shop_run_visitor")
                ],
            },
        ),
    ]
