"""Files that an application serves; the same as for Socket.IO."""

from ..static_files import content_types, get_static_file

__all__ = ["content_types", "get_static_file"]
