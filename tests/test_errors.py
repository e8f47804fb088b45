"""Every error can be built, crosses a process boundary, and says what is wrong with what."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from hftcap import errors
from hftcap.errors import HftcapError

VALUES = {
    Path: [Path("/captures/one.hcap.zst"), Path("/captures/two")],
    str: ["alpha", "beta", "gamma", "delta"],
    int: [16_777_217, 4_096, 7],
    object: ["1e5"],
    tuple[str, ...]: [("BTCUSDT", "ETHUSDT"), ("3f2a", "99bc")],
}


def classes():
    """Return every error class that the module defines."""
    return {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind.__module__ == "hftcap.errors"
    }


def leaves():
    """Return the names of the classes that have no subclass."""
    return sorted(name for name, kind in classes().items() if not kind.__subclasses__())


def arguments(name):
    """Return arguments of the annotated types that can be told apart in a sentence."""
    left = {kind: iter(values) for kind, values in VALUES.items()}
    return tuple(next(left[each.annotation]) for each in inspect.signature(classes()[name]).parameters.values())


def build(name):
    """Build the error with those arguments."""
    return classes()[name](*arguments(name))


def parts(argument):
    """Return the ways in which an argument's values may be written, each a tuple of alternatives."""
    if isinstance(argument, tuple):
        return [alternatives for value in argument for alternatives in parts(value)]
    if isinstance(argument, int):
        return [(str(argument), f"{argument:,}")]
    return [(str(argument),)]


def tree():
    """Return name and parent of every class drawn in the module's docstring, in the order drawn."""
    drawn, above = [], {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+) {2,}\S", line)
        if match is None:
            continue
        depth, name = len(match.group(1)) // 4, match.group(2)
        drawn.append((name, above.get(depth - 1)))
        above[depth] = name
    return drawn


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    """Every class is drawn once, below the class it derives from, and nothing else is drawn."""
    drawn = tree()
    assert len(drawn) == len(dict(drawn))
    parents = {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, HftcapError)), None)
        for name, kind in classes().items()
    }
    assert dict(drawn) == parents


def test_every_error_of_this_package_has_one_ancestor():
    """One `except HftcapError` prints all of them."""
    assert all(issubclass(kind, HftcapError) for kind in classes().values())


@pytest.mark.parametrize("name", leaves())
def test_the_sentence_of_an_error_names_all_its_values(name):
    """Where, what was found, what was expected: nothing that was passed is missing, in one line."""
    sentence = str(build(name))
    for argument in arguments(name):
        for alternatives in parts(argument):
            assert any(text in sentence for text in alternatives), (sentence, alternatives)
    assert "\n" not in sentence
    assert sentence == sentence.strip()


@pytest.mark.parametrize("name", leaves())
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(name, protocol):
    """Type, arguments and sentence are the same in another process, and in a copy."""
    error = build(name)
    pickled = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  (bytes of our own)
    for back in (pickled, copy.copy(error)):
        assert type(back) is type(error)
        assert back.args == error.args == arguments(name)
        assert str(back) == str(error)


def test_a_capture_without_symbols_is_told_as_such():
    """An unknown symbol in an empty capture gets a sentence that ends in a word, not in nothing."""
    assert "none" in str(errors.UnknownSymbol("BTCUSDT", ()))


@pytest.mark.parametrize(
    "found", [None, True, 1.5, [], {"a": 1}, "", "x" * 10_000, "a\nb", 10**400], ids=lambda f: repr(f)[:12]
)
def test_any_value_can_be_named_as_no_decimal(found):
    """Whatever stood where decimal text belongs, the sentence is short and on one line."""
    sentence = str(errors.NotADecimal(found))
    assert len(sentence) < 200
    assert "\n" not in sentence


def test_a_long_number_is_cut_in_the_sentence_and_whole_in_the_error():
    """A number of thousands of digits does not flood a terminal."""
    error = errors.Unrepresentable("9" * 10_000)
    assert len(str(error)) < 200
    assert error.args == ("9" * 10_000,)
