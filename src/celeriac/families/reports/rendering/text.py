"""Text of strangers, made fit for a document: it is shown, and never interpreted."""

from __future__ import annotations

import re

# Control characters, lone surrogates, and the marks that turn the direction of all text that follows.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SPACE = re.compile(r"[\t\r\n\u2028\u2029]+")
_UNFIT_IN_FILES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LONG_WORD = re.compile(r"[^\s\u200b-]{24,}")
_PIECE = re.compile(r".{12}")
_LATIN = re.compile(r"[A-Za-z\xaa-\xff\u0100-\u024f]+")
#: About where a syllable begins: before the last consonant that a vowel follows.
_SYLLABLE = re.compile(
    r"(?<=\w{3})(?=(?:sch|(?<!s)ch|ph|th|qu|(?<![cpt])h|[bcdfgjklmnpqrstvwxzßñç])[aeiouyäöüàâáãåæèéêëìíîïòóôõøùúû]\w)",
    re.IGNORECASE,
)


def one_line(text: str, limit: int = 1_000) -> str:
    """Return the text as one line without control characters, cut at `limit` characters."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub("\ufffd", _SPACE.sub(" ", text))


def breakable(text: str) -> str:
    """Return the text with places where a very long word may be broken."""
    if len(text) < 24:
        return text
    return _LONG_WORD.sub(_broken, text)


def _broken(word: re.Match[str]) -> str:
    """Break letters with a hyphen between syllables, as far as that is found, and all else every twelve signs."""
    if not _LATIN.fullmatch(word[0]):
        return _PIECE.sub("\\g<0>\u200b", word[0])
    syllables = _SYLLABLE.sub("\xad", word[0]).split("\xad")
    return "\xad".join(_PIECE.sub("\\g<0>\xad", one).removesuffix("\xad") for one in syllables)


def storable(text: str) -> str:
    """Return the text as files of data can hold it: line breaks stay, what is no character is replaced."""
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT_IN_FILES.sub("\ufffd", text)
