from pathlib import Path

import pytest

from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.format import TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, False, 1_723_161_600_000_000_000, "0.1.0")


@pytest.fixture
def segment(tmp_path) -> Path:
    """Return the one segment of a capture of four blocks, a record each."""
    with CaptureWriter(tmp_path / "source", HEAD, block_bytes=1, fsync=False) as writer:
        for number in range(4):
            writer.add(b"payload %d" % number, number)
    return writer.sealed[0]


def damage(path: Path, number: int) -> None:
    """Flip a bit in the payloads of a block."""
    data = bytearray(path.read_bytes())
    block = [part for part in Decoder().feed(bytes(data)) if isinstance(part, StoredBlock)][number]
    data[block.offset + block.header.block_bytes - 6] ^= 1
    path.write_bytes(data)


def test_an_intact_capture_is_copied_and_exits_0(hftcap, segment, tmp_path):
    """The copy prints the same payloads, and verify finds it sound."""
    ran = hftcap("recover", segment.parent, "-o", tmp_path / "out", "--json")
    assert ran.code == 0 and "nothing lost" in ran.err
    assert ran.json["kept"] == {"ws_text": 4, "ws_binary": 0, "rest": 0}
    assert ran.json["lost"] == {"ws_text": 0, "ws_binary": 0, "rest": 0, "unknown": 0}
    assert (ran.json["lost_records"], ran.json["findings"]) == (0, [])
    assert [Path(path).parent for path in ran.json["segments"]] == [tmp_path / "out"]
    assert hftcap("cat", tmp_path / "out", "--raw").out == hftcap("cat", segment.parent, "--raw").out
    assert hftcap("verify", tmp_path / "out").code == 0


def test_a_loss_exits_3_with_counts_per_kind(hftcap, segment, tmp_path):
    """The rest is kept, the loss is counted, said, and noted in the copy, which is sound."""
    damage(segment, 1)
    ran = hftcap("recover", segment, "-o", tmp_path / "out", "--json")
    assert ran.code == 3 and "lost 1 ws_text" in ran.err
    assert (ran.json["kept"]["ws_text"], ran.json["lost"]["ws_text"], ran.json["lost_records"]) == (3, 1, 1)
    assert ran.json["findings"][0]["file"] == str(segment)
    assert hftcap("cat", tmp_path / "out", "--raw").out == b"payload 0\npayload 2\npayload 3\n"
    assert b'"note": "loss", "count": 1' in hftcap("cat", tmp_path / "out", "--notes").out
    assert hftcap("verify", tmp_path / "out").code == 0
    assert hftcap("stats", tmp_path / "out", "--json").json["losses"] == 1


def test_an_unknown_loss_is_said_to_be_unknown(hftcap, segment, tmp_path):
    """A cut file does not tell how much it held: null, and no number that looks exact."""
    segment.write_bytes(segment.read_bytes()[:-500])
    ran = hftcap("recover", segment, "-o", tmp_path / "out", "--json")
    assert (ran.code, ran.json["lost_records"]) == (3, None)
    assert "possibly more" in ran.err


def test_without_json_stdout_stays_empty(hftcap, segment, tmp_path):
    """What people read goes to stderr."""
    ran = hftcap("recover", segment, "-o", tmp_path / "out")
    assert ran.out == b"" and "kept 4 ws_text" in ran.err


@pytest.mark.parametrize("content", [b"", b"a file of something else"], ids=["empty", "something else"])
def test_nothing_readable_exits_1_and_leaves_no_folder(hftcap, segment, tmp_path, content):
    """One sentence says why, and there is nothing to clean up."""
    segment.write_bytes(content)
    ran = hftcap("recover", segment.parent, "-o", tmp_path / "out")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, b"", 1)
    assert not (tmp_path / "out").exists()


def test_a_capture_in_the_way_is_never_overwritten(hftcap, segment):
    """Exit 1, and the source is as it was."""
    before = segment.read_bytes()
    assert hftcap("recover", segment, "-o", segment.parent).code == 1
    assert segment.read_bytes() == before


def test_help_shows_three_examples(hftcap):
    """Each is a command line of this verb."""
    assert hftcap("recover", "--help").out.decode().count("hftcap recover ") == 3 + 1
