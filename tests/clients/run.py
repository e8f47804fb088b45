"""Unmodified clients follow a served capture to its end, in environments of their own.

    python tests/clients/run.py [--corpus FOLDER] [--folder .venv-clients] [CLIENT …]

Each client twice: it must reach the capture's last trade with no id missing, its final update and its final best bid
and ask, and report nothing; and where every 100th depth event is dropped, it must say that its book is out of sync.
Prints a line for each; exits 1 where one does not hold. Without the real capture nothing is tried, which is an error
where HFTCAP_NO_SKIPS=1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = "hftbacktest/spot/btcusdt_20240809.gz"
SYMBOL = "BTCUSDT"
SPEED = "20"
CLIENTS = {
    "python-binance": ["python-binance==1.0.37"],
    "ccxt": ["ccxt==4.5.90"],
    "cryptofeed": ["cryptofeed==2.4.1"],
}
FAULTS = """
[limits]
weight_per_minute = 120_000  # a real minute has twenty of the market's, with as many snapshots after holes

[[fault]]
kind = "drop"
stream = "*@depth*"
every = 100
"""
OVER_TLS = {"cryptofeed"}
"""Connects to wss:// alone: a certificate is made for it."""
PATIENCE_S = 120


def hftcap(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hftcap", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def environment(folder: Path, client: str) -> Path:
    """Return the Python that has a client, made where it is not there."""
    home = folder / client
    python = home / "bin" / "python"
    packages = CLIENTS[client]
    ready = home / "ready"
    if not ready.is_file() or ready.read_text() != " ".join(packages):
        print(f"==> Installing {' '.join(packages)} into {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *packages], check=True)
        ready.write_text(" ".join(packages))
    return python


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for this host, and its key."""
    made = folder / "cert.pem", folder / "key.pem"
    if not made[0].exists():
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
        words += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", made[0], "-keyout", made[1]]
        subprocess.run(words, check=True, capture_output=True)
    return made


def follow(python: Path, client: str, capture: Path, truth: dict[str, Any], faults: Path | None) -> dict[str, Any]:
    """Serve the capture and let a client follow it; return what it tells."""
    words = ["serve", capture, "--port", 0, "--speed", SPEED, "--derive", "aggTrade"]
    words += ["--faults", faults] if faults else []
    trusting = dict(os.environ)
    if client in OVER_TLS:
        cert, key = certificate(capture.parent)
        words += ["--tls", cert, key]
        trusting |= {"SSL_CERT_FILE": str(cert), "REQUESTS_CA_BUNDLE": str(cert)}
    command = [sys.executable, "-m", "hftcap", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            script = HERE / f"follow_{client.replace('-', '_')}.py"
            wanted = [str(truth["last_trade"]), str(truth["update"])]
            ran = subprocess.run(
                [python, script, ready["rest"], ready["ws"], *wanted],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                env=trusting,
                check=False,
            )
            lines = ran.stdout.splitlines()
            if not lines:
                return {"errors": [f"exit {ran.returncode}: {ran.stderr[-2000:]}"]}
            return json.loads(lines[-1])
        except subprocess.TimeoutExpired as late:
            return {"errors": [f"not at the end after {PATIENCE_S} s: {(late.stderr or b'')[-2000:]!r}"]}
        finally:
            server.terminate()


def truth_of(capture: Path) -> dict[str, Any]:
    """Return what a client that saw all ends with."""
    stats = json.loads(hftcap("stats", capture, "--json").stdout)["symbols"][SYMBOL]
    book = json.loads(hftcap("book", capture, "--symbol", SYMBOL, "--at", "end", "--levels", 1, "--json").stdout)
    return {
        "first_trade": stats["trade"]["first_id"],
        "last_trade": stats["trade"]["last_id"],
        "update": book["final_update_id"],
        "bid": float(book["bids"][0][0]),
        "ask": float(book["asks"][0][0]),
        "missing": 0,
        "out_of_sync": 0,
        "errors": [],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("HFTCAP_CORPUS"))
    parser.add_argument("--folder", type=Path, default=Path(".venv-clients"))
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}; all if none")
    options = parser.parse_args()
    if not options.corpus:
        print("==> The clients need the real captures: HFTCAP_CORPUS is not set, nothing was tried")
        sys.exit(os.environ.get("HFTCAP_NO_SKIPS") == "1")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        capture, faults = Path(name) / "capture", Path(name) / "faults.toml"
        hftcap("import", "--from", "hftbacktest", Path(options.corpus) / SOURCE, "-o", capture)
        faults.write_text(FAULTS)
        truth = truth_of(capture)
        for client in options.clients or CLIENTS:
            python = environment(options.folder, client)
            found = follow(python, client, capture, truth, None)
            wrong = {key: found.get(key) for key, value in truth.items() if found.get(key) != value}
            print(f"{client}: " + (f"WRONG {wrong}, expected {truth}" if wrong else "followed to the end"), flush=True)
            holed = follow(python, client, capture, truth, faults)
            said = holed.get("out_of_sync", 0)
            print(f"{client}, every 100th update dropped: out of sync {said} times", holed.get("errors"), flush=True)
            failed += bool(wrong) + (not said)
    print(f"{2 * len(options.clients or CLIENTS) - failed} passed, {failed} failed", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
