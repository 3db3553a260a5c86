"""Text of others, made safe for a terminal and for one line."""


def printable(text: str, keep: str = "") -> str:
    """Escape every control character that is not in ``keep``: none may drive the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )
