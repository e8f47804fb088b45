"""Whether parts that are compiled where there is a compiler are to be used: not where `HFTCAP_PURE=1` says so."""

import os

PURE = "HFTCAP_PURE"


def wanted() -> bool:
    """Say whether compiled parts are to be used where they are there."""
    return os.environ.get(PURE) != "1"
