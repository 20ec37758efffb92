"""Commands of Django that this application adds or extends."""
