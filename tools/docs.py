"""Writes ``man/`` and ``completions/`` out of the program: ``make docs``."""

from pathlib import Path

from clworker.cli import cli
from clworker.cli.shells import SHELLS
from tools.manual import manual

ROOT = Path(__file__).parent.parent
_SCRIPTS = {"bash": "clworker.bash", "zsh": "_clworker", "fish": "clworker.fish"}


def documents() -> dict[Path, str]:
    """Return every file that is made, by its path in the repository."""
    pages = {Path("man", name): text for name, text in manual().items()}
    scripts = {
        Path("completions", _SCRIPTS[name]): shell(cli, {}, "clworker", "_CLWORKER_COMPLETE").source()
        for name, shell in SHELLS.items()
    }
    return pages | scripts


def stray() -> list[Path]:
    """Return files in those folders that no command stands behind any more."""
    made = documents()
    present = [path.relative_to(ROOT) for folder in ("man", "completions") for path in (ROOT / folder).glob("*")]
    return sorted(path for path in present if path not in made)


def main() -> None:
    """Write what is made and remove what is left of commands that are gone."""
    for path, text in documents().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)
    for path in stray():
        (ROOT / path).unlink()


if __name__ == "__main__":
    main()
