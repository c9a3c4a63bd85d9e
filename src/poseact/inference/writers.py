"""JSON text for files."""

from __future__ import annotations

import json
from typing import Any


def json_bytes(content: dict[str, Any]) -> bytes:
    """JSON text, ready to be written whole."""
    return json.dumps(content, indent=1).encode()
