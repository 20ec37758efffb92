"""The first form of the tables."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds orders."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("customer", models.CharField(max_length=60)),
                ("item", models.CharField(max_length=60)),
                ("quantity", models.PositiveSmallIntegerField(default=1)),
                ("price", models.DecimalField(decimal_places=2, max_digits=7)),
                (
                    "state",
                    models.CharField(
                        choices=[("new", "New"), ("baking", "Baking"), ("ready", "Ready"), ("done", "Done")],
                        default="new",
                        max_length=6,
                    ),
                ),
                ("created", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
    ]
