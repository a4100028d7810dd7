"""What rich draws, as lines of text on standard output. Knows nothing of what is in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def terminal() -> Console:
    """Return what draws as wide as the terminal is, and in its colours; as plain text where there is none."""
    from rich.console import Console

    return Console(highlight=False)


def show(*drawings: Any) -> None:
    """Print drawings, without the blanks that rich fills lines and the space before a table's head with."""
    console = terminal()
    with console.capture() as drawn:  # rich has words of its own for an output that cannot be written
        for drawing in drawings:
            console.print(drawing)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    print("\n".join(lines).strip("\n"))
