"""The name `engineio`, see `_kokanee_name.py`."""

import _kokanee_name  # type: ignore[import-not-found]

_kokanee_name.take(__name__)
