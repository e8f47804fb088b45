"""What a replay came to, as the JSON of the contract and in words."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hftcap.cli.console import say, show_table
from hftcap.cli.options import span_text

if TYPE_CHECKING:
    from hftcap.pacing import Verdict
    from hftcap.stats.collect import Stats


def to_json(stats: "Stats", wall_ns: int, verdict: "Verdict") -> dict[str, Any]:  # Any: the JSON of the contract
    """Return what a replay came to."""
    from hftcap.kernel import Kernel
    from hftcap.pacing import Grade
    from hftcap.stats.summary import depth_json

    wall_s = wall_ns / 1e9
    books = {
        name: depth_json(symbol.book)
        for name, symbol in sorted(stats.symbols.items())
        if symbol.book is not None and symbol.book.has_depth
    }
    paced = {
        "lateness_ns": verdict.lateness_ns,
        "pace": {
            "grade": str(verdict.grade),
            "said": verdict.sentence,
            "asked": verdict.asked,
            "achieved": verdict.achieved,
            "planned_s": verdict.planned_ns / 1e9,
            "actual_s": verdict.actual_ns / 1e9,
        },
    }
    return {
        "messages": stats.records,
        "records": stats.records,
        "by_type": dict(sorted(stats.by_type.items())),
        "oddities": dict(sorted(stats.oddities.items())),
        "losses": stats.losses,
        "gaps": stats.gaps,
        "wall_s": round(wall_s, 6),
        "messages_per_s": round(stats.records / wall_s) if wall_s else None,
        **({} if verdict.grade is Grade.NOT_PACED else paced),
        "books": books,
        "kernel": Kernel.name,
    }


def show_summary(result: dict[str, Any], wall_ns: int, talk: Callable[[str], None]) -> None:  # Any: as above
    """Print what a replay came to."""
    rate = result["messages_per_s"]
    again = f" in {result['passes']} passes" if result["passes"] > 1 else ""
    short = ", interrupted" if result["interrupted"] else ""
    talk(
        f"{result['messages']:,} messages{again} in {span_text(wall_ns)}{short}, {rate:,} a second, "
        f"{result['kernel']} kernel"
    )
    types = ", ".join(f"{name} {count:,}" for name, count in result["by_type"].items())
    talk(f"{types}; losses {result['losses']}")
    if "pace" in result:
        talk(result["pace"]["said"])
    if result["oddities"]:
        talk("odd: " + ", ".join(f"{name} {count:,}" for name, count in result["oddities"].items()))
    rows = [
        [
            name,
            book["state"],
            f"{book['updates']:,}",
            f"{book['gaps']:,}",
            f"{book['stale']:,}",
            f"{book['crossed']:,}",
            f"{book['bookticker_equal']:,}/{book['bookticker_checked']:,}",
        ]
        for name, book in result["books"].items()
    ]
    if rows:
        names = ["symbol", "book", "updates", "gaps", "stale", "crossed", "bookTicker agrees"]
        show_table("", names, rows, words=2, to_stderr=talk is say)
