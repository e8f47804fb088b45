"""The whole exception tree.

HftcapError                  something this package refuses or cannot do; the command line prints it and exits 1
├── CaptureError             a capture on disk cannot be used
│   ├── Unreadable           the operating system would not let us read it
│   ├── NotACapture          the bytes are something else
│   ├── NewerFormat          written by a later version of the format
│   ├── NoSegments           a folder that holds no capture
│   ├── DamagedPart          bytes of a capture that contradict each other
│   ├── OverLimit            a record larger than the format allows
│   ├── AlreadyExists        would overwrite a capture
│   ├── FolderBusy           another process writes into the folder
│   ├── SeveralRecordings    more than one recording where one is wanted
│   └── WriteFailed          a capture could not be written; what was sealed stays
├── ImportFailed             another tool's file cannot be imported
├── ReportExists             would overwrite a report
├── OutputExists             would overwrite a file
├── NoSuchRecord             an address that names no record
├── UnknownSymbol            a symbol the capture does not have
├── NoDepth                  a symbol of which the capture has no depth
├── MarketsDiffer            captures of more than one market in one run
├── MarketUnknown            a damaged capture no longer says which market it is of
├── GoldenUnusable           a golden file that is missing or is none (exit 2)
├── BadFaults            a file of faults that cannot be read, or says what is not known (exit 2)
├── CannotListen         a port that cannot be listened on, or a certificate that cannot be used
├── NothingSelected          a selection that no record is in
├── BadInstant               a time on the command line that cannot be read (exit 2)
├── BadPace                  a speed or rate that is no positive number (exit 2)
├── BadSpan                  a length of time on the command line that cannot be read (exit 2)
└── DecimalError             decimal text that is not a scaled integer
    ├── NotADecimal          not a plain decimal number
    └── Unrepresentable      more than eight decimals, or beyond 64 bits

What a feed does (a gap, a stale diff, a disconnect, a malformed frame) is a value, never an exception.
Every error passes its arguments to `super().__init__`, so that it survives pickling, and builds its sentence
in `__str__`: where, what was found, what was expected.
"""

from pathlib import Path


class HftcapError(Exception):
    """Something this package refuses to do, or cannot do; `str()` is one sentence for the user."""


class CaptureError(HftcapError):
    """A capture on disk cannot be used."""


class Unreadable(CaptureError):
    """The operating system would not let us read a path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)

    def __str__(self) -> str:
        path, reason = self.args
        return f"{path}: cannot be read: {reason}"


class NotACapture(CaptureError):
    """A file whose bytes are not a capture."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(path, found, expected)

    def __str__(self) -> str:
        path, found, expected = self.args
        return f"{path}: not a capture: found {found}, expected {expected}"


class NewerFormat(CaptureError):
    """A capture written in a later version of the format than this release reads."""

    def __init__(self, path: Path, found: int, newest: int) -> None:
        super().__init__(path, found, newest)

    def __str__(self) -> str:
        path, found, newest = self.args
        return f"{path}: capture format {found} is newer than {newest}, the newest this release reads; update hftcap"


class NoSegments(CaptureError):
    """A folder in which no capture stands."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def __str__(self) -> str:
        (path,) = self.args
        return f"{path}: no capture in this folder: expected files named *.hcap.zst or *.hcap.zst.part"


class DamagedPart(CaptureError):
    """Bytes of a capture that contradict their own checksums or lengths."""

    def __init__(self, path: Path, offset: int, what: str) -> None:
        super().__init__(path, offset, what)

    def __str__(self) -> str:
        path, offset, what = self.args
        return f"{path}: damaged at byte {offset}: {what}"


class OverLimit(CaptureError):
    """A record that the format has no room for."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(what, found, limit)

    def __str__(self) -> str:
        what, found, limit = self.args
        return f"{what} is {found:,}, the capture format allows at most {limit:,}"


class AlreadyExists(CaptureError):
    """A capture stands where a new one was to be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def __str__(self) -> str:
        (path,) = self.args
        return f"{path}: a capture is there already and is never overwritten; name another folder"


class FolderBusy(CaptureError):
    """A folder into which another process is writing a capture."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def __str__(self) -> str:
        (path,) = self.args
        return f"{path}: another process is writing a capture here; name another folder, or stop that one"


class SeveralRecordings(CaptureError):
    """More than one recording where exactly one is wanted."""

    def __init__(self, capture_ids: tuple[str, ...]) -> None:
        super().__init__(capture_ids)

    def __str__(self) -> str:
        (ids,) = self.args
        return f"found {len(ids)} recordings ({', '.join(ids)}), expected the segments of one; name them one at a time"


class WriteFailed(CaptureError):
    """A capture could not be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)

    def __str__(self) -> str:
        path, reason = self.args
        return f"{path}: cannot be written: {reason}"


class ImportFailed(HftcapError):
    """Another tool's file cannot be imported."""

    def __init__(self, path: Path, where: str, found: str, expected: str) -> None:
        super().__init__(path, where, found, expected)

    def __str__(self) -> str:
        path, where, found, expected = self.args
        return f"{path}: {where}: found {found}, expected {expected}"


class ReportExists(HftcapError):
    """Tables of an earlier report stand where a new report was to be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def __str__(self) -> str:
        (path,) = self.args
        return f"{path}: a report is there already; name another folder, or pass --force to replace it"


class OutputExists(HftcapError):
    """A file that is there already, or that the input is read from."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def __str__(self) -> str:
        (path,) = self.args
        return f"{path}: is there already; --force replaces it, unless it is what is being read"


class NoSuchRecord(HftcapError):
    """An address, SEGMENT:BLOCK:RECORD, at which there is nothing."""

    def __init__(self, path: Path, wanted: str, found: str) -> None:
        super().__init__(path, wanted, found)

    def __str__(self) -> str:
        path, wanted, found = self.args
        return f"{path}: no {wanted}: found {found}"


class UnknownSymbol(HftcapError):
    """A symbol for which the capture holds nothing."""

    def __init__(self, symbol: str, known: tuple[str, ...]) -> None:
        super().__init__(symbol, known)

    def __str__(self) -> str:
        symbol, known = self.args
        return f"symbol {symbol} is not in this capture, which has {', '.join(known) or 'none'}"


class NoDepth(HftcapError):
    """A symbol that the capture has, but no depth update or snapshot of it."""

    def __init__(self, symbol: str, with_depth: tuple[str, ...]) -> None:
        super().__init__(symbol, with_depth)

    def __str__(self) -> str:
        symbol, with_depth = self.args
        return f"no depth of {symbol} is in this capture, so it has no book; {', '.join(with_depth) or 'no symbol'} has"


class MarketsDiffer(HftcapError):
    """Captures of more than one market, asked to be replayed as one feed."""

    def __init__(self, markets: tuple[str, ...]) -> None:
        super().__init__(markets)

    def __str__(self) -> str:
        (markets,) = self.args
        return f"found captures of the markets {', '.join(markets)}, expected one market: replay them one at a time"


class MarketUnknown(HftcapError):
    """A capture whose preamble is damaged and that no sibling or footer can stand in for."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(path, found)

    def __str__(self) -> str:
        path, found = self.args
        return f"{path}: its market is {found!r}, expected spot, usdm or coinm: cat, verify and recover still read it"


class BadInstant(HftcapError):
    """A time on the command line that cannot be read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        (text,) = self.args
        return (
            f"time {text!r} cannot be read: expected RFC 3339 (2024-08-09T00:01:02.5Z), epoch with a unit "
            "(1723161662s, ms, us, ns), +30s from the start, -5m before the end, or epoch nanoseconds"
        )


class BadSpan(HftcapError):
    """A length of time from the command line in no form we know."""

    def __init__(self, found: str) -> None:
        super().__init__(found)

    def __str__(self) -> str:
        (found,) = self.args
        return f"{found!r} is no length of time: expected a number with a unit, as 500ms, 1.5s, 2m, 1h"


class BadPace(HftcapError):
    """A speed, or a rate, that is no positive number."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(what, found)

    def __str__(self) -> str:
        what, found = self.args
        choice = ", or max" if what == "speed" else ""
        return f"{found!r} is no {what}: expected a positive number with at most nine decimals{choice}"


class GoldenUnusable(HftcapError):
    """A golden file that cannot be read, or is none."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)

    def __str__(self) -> str:
        path, reason = self.args
        return f"{path}: cannot be used as a golden file: {reason}"


class NothingSelected(HftcapError):
    """A selection of symbols, streams and connections, or a part of the timeline, that no record is in."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)

    def __str__(self) -> str:
        (wanted,) = self.args
        return f"no record is selected by {wanted}; hftcap stats lists symbols and streams, hftcap cat connections"


class BadFaults(HftcapError):
    """A file of faults that cannot be read, or that says what is not known."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)

    def __str__(self) -> str:
        path, reason = self.args
        return f"{path}: cannot be used as faults: {reason}"


class CannotListen(HftcapError):
    """An address that cannot be listened on, or a certificate that cannot be used for it."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)

    def __str__(self) -> str:
        where, reason = self.args
        return f"cannot listen on {where}: {reason}"


class DecimalError(HftcapError, ValueError):
    """Decimal text that cannot become an integer scaled by 1e8."""


class NotADecimal(DecimalError):
    """Text that is not digits, optionally followed by a point and digits."""

    def __init__(self, found: object) -> None:
        super().__init__(found)

    def __str__(self) -> str:
        (found,) = self.args
        return f"not a decimal number: {str(found)[:40]!r}"


class Unrepresentable(DecimalError):
    """A decimal number that has no exact place in an int64 scaled by 1e8."""

    def __init__(self, found: str) -> None:
        super().__init__(found)

    def __str__(self) -> str:
        (found,) = self.args
        return f"{found[:60]} has more than 8 decimals or exceeds 92233720368.54775807"
