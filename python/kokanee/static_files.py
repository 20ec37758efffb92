"""Files that an application serves: from the path of a URL to the file and its type."""

from __future__ import annotations

import os
from typing import Any

content_types = {
    "css": "text/css",
    "gif": "image/gif",
    "html": "text/html",
    "jpg": "image/jpeg",
    "js": "application/javascript",
    "json": "application/json",
    "png": "image/png",
    "txt": "text/plain",
}


def get_static_file(path: str, static_files: dict[str, Any]) -> dict[str, str] | None:
    """Returns the file for a path as `{"filename": …, "content_type": …}`, or `None`.

    A key of `static_files` that is the path wins; otherwise the longest key that is a folder above it, and the rest of the
    path is below the folder. What would lead out of that folder has no file.
    """
    rule: Any = None
    rest = ""
    if path in static_files:
        rule = static_files[path]
    else:
        parts = path.split("/")
        for end in range(len(parts) - 1, 0, -1):
            prefix = "/".join(parts[:end]) or "/"
            for key in (prefix, prefix + "/" if prefix != "/" else prefix):
                if key in static_files:
                    rule = static_files[key]
                    rest = "/".join(parts[end:])
                    break
            if rule is not None:
                break
    if not rule:
        return None
    found = {"filename": rule} if isinstance(rule, str) else dict(rule)
    base = found["filename"]
    if rest:
        found["filename"] = base + rest if base.endswith("/") else f"{base}/{rest}"
        if not _is_inside(found["filename"], base):
            return None
    if found["filename"].endswith("/"):
        index = static_files.get("")
        name = index["filename"] if isinstance(index, dict) else index or "index.html"
        if isinstance(index, dict) and "content_type" in index:
            found["content_type"] = index["content_type"]
        found["filename"] += name
    if "content_type" not in found:
        extension = found["filename"].rsplit(".", 1)[-1]
        found["content_type"] = content_types.get(extension, "application/octet-stream")
    return found


def _is_inside(filename: str, folder: str) -> bool:
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(filename)]) == root
