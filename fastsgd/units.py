"""Numbers with units, as messages say them."""


def in_bytes(count: float) -> str:
    """Bytes in the unit that suits them, such as 1.5 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}" if unit == "TB" else f"{count / factor:.3g} {unit}"
    return f"{count:.0f} bytes"
