"""The modes of a server by name, as programs import them."""
