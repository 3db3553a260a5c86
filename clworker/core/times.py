"""Times and durations for people; scripts get Unix milliseconds."""

from datetime import UTC, datetime

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def as_age(milliseconds: int) -> str:
    """Say a duration in its largest unit: ``45s``, ``12m``, ``3h``, ``2d``."""
    seconds = max(0, milliseconds) // 1000
    unit, size = next((entry for entry in _UNITS if seconds >= entry[1]), _UNITS[-1])
    return f"{seconds // size}{unit}"


def as_duration(milliseconds: int) -> str:
    """Say how long something took: ``85ms``, ``1.25s``, ``4m05s``, then as an age does."""
    if milliseconds < 1000:
        return f"{max(0, milliseconds)}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f}s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes}m{seconds:02}s" if minutes < 60 else as_age(milliseconds)


def as_seconds(started_at: int | None, ended_at: int | None) -> str | None:
    """Say how long something took, from two times in Unix milliseconds."""
    if started_at is None or ended_at is None or ended_at < started_at:
        return None
    return f"{(ended_at - started_at) / 1000:.2f}"


def as_time(milliseconds: int | None) -> str | None:
    """Say a time as ISO 8601 in UTC, to the second; what is no time is shown as it is."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError, TypeError):
        return str(milliseconds)
