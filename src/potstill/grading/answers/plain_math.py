"""Mathematics written without LaTeX, put into it: "3√2", "x² + 1", "½", "(-∞, 3]", "sqrt(13)"."""

# Signs that look like others are what this file is about.
# ruff: noqa: RUF001

import re
import unicodedata
from collections.abc import Iterator

_SIGNS = {
    "∞": r"\infty ", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "γ": r"\gamma ", "λ": r"\lambda ", "μ": r"\mu ", "φ": r"\phi ", "ω": r"\omega ",
    "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "±": r"\pm ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "ø": r"\emptyset ",
    "≈": r"\approx ", "°": r"^\circ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}",
    "−": "-", "–": "-", "－": "-", "，": ",", "（": "(", "）": ")", "＝": "=", "＋": "+",
}  # fmt: skip
_OTHER = re.compile(f"[{''.join(_SIGNS)}]")
_RAISED = re.compile("[⁺⁻]?[⁰¹²³⁴-⁹ⁿˣ]+(?:⁄[⁰¹²³⁴-⁹]+)?|[⁺⁻]?[⁰¹²³⁴-⁹ⁿ]+")
_LOWERED = re.compile("[₊₋]?[₀-₉ₙₓ]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
# A root sign and what it covers: a bracket, a number, a letter.
_ROOT = re.compile(
    r"([√∛∜])\s?(?:\(((?:[^()]|\([^()]*\)){1,200})\)|(\d+(?:\.\d+)?|[A-Za-z]|\\pi ?))"
)
_PLAIN_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s?(?:\(((?:[^()]|\([^()]*\)){1,200})\)|(\d+))")
_PLAIN_NAME = re.compile(r"(?<![\\A-Za-z])(?:(pi)(?![A-Za-z])|(infinity|inf|oo)(?![A-Za-z]))")
_PLAIN_LOGARITHM = re.compile(r"(?<![\\A-Za-z])log(?=_\{?\w)")
_INDEX = {"√": "", "∛": "[3]", "∜": "[4]"}


def latex_of(text: str) -> str:
    r"""Returns an expression in LaTeX; what is in LaTeX already is left as it is.

    >>> latex_of("3√2 + ½")
    '3\\sqrt{2} + \\frac{1}{2}'
    """
    if "sqrt" in text or "pi" in text or "inf" in text or "oo" in text:
        text = _PLAIN_ROOT.sub(lambda root: rf"\sqrt{{{root[1] or root[2]}}}", text)
        text = _PLAIN_NAME.sub(lambda name: r"\pi " if name[1] else r"\infty ", text)
    if text.isascii():
        return _PLAIN_LOGARITHM.sub(r"\\log", text) if "log_" in text else text
    text = _OTHER.sub(lambda sign: _SIGNS[sign[0]], text)
    text = _VULGAR.sub(_fraction, text)
    text = _RAISED.sub(lambda raised: f"^{{{_plain(raised[0])}}}", text)
    text = _LOWERED.sub(lambda lowered: f"_{{{_plain(lowered[0])}}}", text)
    for _ in range(3):  # a root may stand under a root
        text = _ROOT.sub(
            lambda root: rf"\sqrt{_INDEX[root[1]]}{{{root[2] or root[3].strip()}}}", text
        )
    return _PLAIN_LOGARITHM.sub(r"\\log", text)


def plain_formulas(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields where formulas stand that hold a sign of mathematics, outside of LaTeX."""
    if text.isascii():
        return
    words = list(_WORD.finditer(text, start, end))
    taken = -1
    for place, word in enumerate(words):
        if place <= taken or not _MATHEMATICAL.search(word[0]):
            continue
        first = taken = place
        while first >= 2 and _is_operator(words[first - 1][0]) and _is_operand(words[first - 2][0]):
            first -= 2
        while (
            taken + 2 < len(words)
            and _is_operator(words[taken + 1][0])
            and _is_operand(words[taken + 2][0])
        ):
            taken += 2
        yield words[first].start(), words[taken].start() + len(words[taken][0].rstrip(".,;:!?*"))


_WORD = re.compile(r"\S+")
_MATHEMATICAL = re.compile("[√∛∜π∞⁰¹²³⁴-⁹¼-¾⅐-⅞]")
_PLAIN_WORD = re.compile(r"[A-Za-z]{3,}")


def _is_operator(word: str) -> bool:
    """Says whether a word is an operator alone."""
    return word in {"+", "-", "−", "–", "=", "*", "/", "×", "·", "±", "≤", "≥", "<", ">"}


def _is_operand(word: str) -> bool:
    """Says whether a word is a number, a variable or a term."""
    return _PLAIN_WORD.search(word.replace("sqrt", "")) is None


def _fraction(sign: re.Match[str]) -> str:
    """Returns a fraction that is one character in LaTeX."""
    top, _, bottom = unicodedata.normalize("NFKC", sign[0]).partition("\u2044")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _plain(signs: str) -> str:
    """Returns raised or lowered signs as plain ones."""
    return unicodedata.normalize("NFKC", signs).replace("\u2212", "-").replace("\u2044", "/")
