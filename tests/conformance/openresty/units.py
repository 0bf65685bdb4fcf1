"""nginx's sizes, times and flags as a manifest writes them."""
from __future__ import annotations

import re

from adapters.base import Untranslatable

MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1000}


def time(text):
    parts = re.findall(r"(\d+)\s*(ms|s|m|h|d|)", text)
    if not parts or not re.fullmatch(r"(\d+\s*(ms|s|m|h|d|)\s*)+", text):
        raise Untranslatable(f"the time {text!r}")
    return f"{sum(int(n) * MS[unit] for n, unit in parts)}ms"


def size(text):
    m = re.fullmatch(r"(\d+)([kKmMgG]?)", text)
    if not m:
        raise Untranslatable(f"the size {text!r}")
    return m.group(1) + {"": "B", "k": "KiB", "m": "MiB", "g": "GiB"}[m.group(2).lower()]


def flag(text):
    return text.lower() == "on"
