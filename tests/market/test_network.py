"""Messages take their time, keep their order on a connection, and reach the capture in the order of receipt."""

from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.format import TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.chance import draw_of
from hftcap.market.network import BOOTED_BEFORE_NS, Connection, Delays, HostClock, Network
from hftcap.market.plan import START_NS, Link

LINK = Link(delay_ns=1_000_000, jitter_ns=300_000, lines=2)
URLS = [("wss://a", ["x@trade"]), ("wss://b", ["x@kline_1m"])]


@given(st.lists(st.integers(0, 2_000_000), max_size=60), st.integers(0, 9))
def test_a_connection_keeps_its_order(steps, seed):
    """Later pushes arrive no earlier; nothing takes less than the least; what was counted is what was taken."""
    delays = Delays()
    connection = Connection(2, 1_000_000, 300_000, draw_of(seed, "c"), delays)
    now = latest = START_NS
    taken = []
    for step in steps:
        now += step
        arrival = connection.arrival_ns(now)
        assert arrival >= latest and arrival - now >= 1_000_000
        latest = arrival
        taken.append(arrival - now)
    assert (delays.count, delays.sum_ns) == (len(taken), sum(taken))
    assert not taken or (delays.least_ns, delays.most_ns) == (min(taken), max(taken))


def test_the_hosts_clock_is_ahead_and_drifts():
    """Offset at the start; after a second, that and the drift; the monotonic clock runs on with the wall clock."""
    clock = HostClock(offset_ns=-5, drift_ppb=20_000)
    assert clock.wall_ns(START_NS) == START_NS - 5
    assert clock.wall_ns(START_NS + 10**9) == START_NS + 10**9 - 5 + 20_000
    assert clock.wall_ns(START_NS) - clock.wall_minus_mono_ns == BOOTED_BEFORE_NS


def test_records_stand_in_the_order_of_receipt(tmp_path):
    """Over all lines and routes, however many are in flight; notes of connections among them."""
    clock = HostClock(3_000, 0)
    head = CaptureHead("00112233445566aa", "usdm", TimeBase.MONOTONIC, True, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        network = Network(LINK, clock, 1, URLS, writer)
        network.send(0, b"nobody", START_NS)
        network.connect(START_NS, "start")
        for number in range(3_000):
            network.send(number % 2, b"%d" % number, START_NS + number * 50_000)
        sent = network.request_ns(START_NS)
        network.answer(b"{}", START_NS, START_NS + 150_000_000, "https://a/time", None, 1)
        network.close(START_NS + 150_000_000, None, 1006, "")
        network.drain()
    assert network.lost == 1
    assert sent >= START_NS + LINK.delay_ns
    (chunk,) = open_recording([tmp_path / "c"]).chunks()
    stamps = chunk.block.recv_ns.tolist()
    assert stamps == sorted(stamps) and len(stamps) == 6_001
    by_conn = {}
    for conn, payload in zip(chunk.block.columns.conn.tolist(), chunk.block.payload_list(), strict=True):
        by_conn.setdefault(conn, []).append(payload)
    assert {conn: len(payloads) for conn, payloads in by_conn.items()} == {1: 1, 2: 1500, 3: 1500, 4: 1500, 5: 1500}
    assert by_conn[2] == by_conn[4] == [b"%d" % number for number in range(0, 3_000, 2)]
    said = [note["note"] for note in chunk.block.notes]
    assert said == ["connect"] * 4 + ["rest"] + ["close"] * 4 or sorted(said) == ["close"] * 4 + ["connect"] * 4 + [
        "rest"
    ]
    assert network.least_ns[0] == LINK.delay_ns < network.least_ns[1] <= LINK.delay_ns + LINK.jitter_ns
