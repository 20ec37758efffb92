"""The first form of the tables."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds notes."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("author", models.CharField(max_length=150)),
                ("text", models.TextField()),
                ("made", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
