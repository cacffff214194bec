r"""Options as answers: a letter, or the option's text.

Of a question with the options (A) 4 pens, (B) 5 pens and (C) none of these, the statements "B",
"**(b)**", "option B: 5 pens", "5 pens" and "\boxed{\text{B}}" all name option B. "(A) or (B)" names
two and so none; "cannot be determined" names C, since that option's text says as much.
"""

import re
from collections.abc import Iterator

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import (
    JOINED,
    NONE_GIVEN,
    AnswerCandidate,
    last,
    lowered,
    refuses,
)
from potstill.grading.answers.number_context import calculates
from potstill.grading.answers.options import Options, options_of, without_article, words_alone
from potstill.records import Question

_LONGEST_BARE = 1000
"""Characters of the closing text that are searched for an answer where no marker stands."""

_LONGEST_OPTION = 120
"""Characters behind a letter that opens a text, where they are not its option's text."""

_MOST_TRIED = 1000
"""Places at which an option's text is looked at before it counts as absent."""

# A letter that opens a statement: signs, the wrapper of LaTeX, "option" or its like, brackets, and
# the letter with what must follow it. A capital may stand before any closing sign or at a line's
# end ("B.", "B) 5 pens", "B"), a small letter only before a bracket, at the end, or before ". "
# or ": " ("b)", "b", "b: 5 pens").
_HEAD = re.compile(
    r"""
    [\s*_"'$:=\\(\[\u201c\u2018]{0,9} (?:(?:text|mathrm|mathbf|textbf|boxed)\{)?
    (?:(?:option|choice|answer|letter)[\s:]{0,3})? [*_"'(\[{]{0,4}
    (?: (?P<upper>[A-Z]) (?= [)\]}.:,;*_"'\u2019\u201d]{1,9}(?:[\s.]|$) | [)\]}:*] | \s*$ | \n )
      | (?P<lower>[a-z]) (?= \) | \] | \}? [.*"']{0,3}\s*$ | [.:]\s ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LETTER = re.compile(rf"(?<![{JOINED}'\u2019])[A-Z](?![{JOINED}'\u2019])")
_GLUED = re.compile(r"[\s*_\"'(:]{0,5}([A-Z])")  # "B5 pens": the option's text must follow
# A letter that ends a text: "so I choose B."
_LAST_LETTER = re.compile(
    r"\b(?:is ?|are |was |were |be |choose |pick |with |your |the |it |it['\u2019]s |= ?"
    r"|so |thus |hence |therefore |leaves |leaving )"
    r"([A-Z])[\s.)\]*]{0,9}\Z"
)
# One that is called right at the end: "A and B are wrong. So C is correct."
_CALLED_RIGHT = re.compile(
    r"(?:\A|[.!?:]\s|\n|\b(?i:so|thus|hence|therefore),?\s)[\s*_\"']{0,6}([A-Z])[*_\"']{0,3} "
    r"(?:is|must be) (?:the )?(?:correct|right|best)(?: (?:one|option|choice))?[\s.!*_]{0,6}\Z"
)
# A letter that names an option wherever it stands: "(B)"; "B)"; "option B"; "B" alone on its line.
_SURE = re.compile(
    r"""
    \((?P<bracketed>[A-Z])\) | (?<![\w(])(?P<open>[A-Z])\)
  | \b(?i:option|choice|answer)\s+(?P<named>[A-Z])(?![\w'\u2019])
  | ^[ \t*"'$]{0,9}(?P<alone>[A-Z])[ \t*"'$.]{0,9}$
    """,
    re.VERBOSE | re.MULTILINE,
)
# A letter that is chosen in so many words: "I would pick B \u2014 a safe choice".
_PICKED = re.compile(
    r"\b(?:choose|chose|pick|picked|select|selected|go with|going with|opt for|vote for) "
    r"(?:option |answer )?[*_(\"']{0,3}([A-Z])(?![\w'\u2019])(?! [a-z])"
)
# A command of LaTeX before a letter, which is a sign of a formula then: "\\langle B".
_IN_FORMULA = re.compile(r"\\(?!text|math|boxed|bf|rm)[A-Za-z]+ ?\Z")
# Letters of other scripts that are written as an option's, and letters of full width.
_LOOK_ALIKES = str.maketrans(
    "\u0410\u0412\u0421\u0415\u041a\u041c\u041d\u041e\u0420\u0422\u0425"
    "\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7"
    + "".join(map(chr, range(0xFF21, 0xFF3B)))
    + "\uff08\uff09\uff0e\u3002",
    "ABCEKMHOPTXABEHIKMNOPTX" + "".join(map(chr, range(65, 91))) + "()..",
)
_AROUND_LETTER = " \t\n*_()[]{}.:$\"'\u201c\u201d\u300c\u300d"
# Text behind an article: "A box", "I think"; in "A is right" and "A because" the A is an option.
_AFTER_ARTICLE = re.compile(r" (?!(?:because|since|as|for|is|or|and)\b)[a-z]")

# Statements that take an option away or give none: "not B", "neither", "is not (B)".
_NOT_THIS = re.compile(r"\W{0,9}(?:(?P<neither>neither)|not)\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:\b(?:not|nor|neither)|n['\u2019]t)(?: be)? \Z", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|neither|nor|none|never|cannot)\b|n['\u2019]t\b")
_REASON = re.compile(r",? (?:because|since)\b|, (?:as|so)\b")
# An option that is set aside behind another one: "the glass rod (not the copper wire)".
_SET_ASIDE = re.compile(
    r"(?:[,;(]\s?(?:and\s|but\s)?not|\b(?:but|and)\snot|\brather\sthan|\binstead\sof)"
    r"\s[^().,;\n]{1,120}\)?"
)
_CLOSEST = re.compile(r"\b(?:closest|nearest)\b(?: to\b| is\b)?", re.IGNORECASE)

# Text between an option and a second one that is joined to it: closing signs, the
# option's own text said again, then a sign, "or", "and" or a bracket: "(A) 4 pens, or (B)".
_CLOSING_SIGNS = ")]}*_\"'$\u2019\u201d. \n"
_CLOSERS = re.compile(r"[)\]}*_\"'$\u2019\u201d]{0,6}")
_OWN = re.compile(r"[\s.:,)\]}*\u2013-]{0,5}(?:the\s|an?\s)?", re.IGNORECASE)
_JOINER = re.compile(
    r"""
    \s{0,3} (?P<sign>[,;/&]\s{0,3})? (?P<word>(?:and/or|and|or)\s{1,3})?
    (?:(?:also|possibly|perhaps|maybe|either|option|choice|answer|the|an?)\s){0,3}
    ["'*\u201c\u2018]{0,3} (?P<bracket>[(\[])?
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A small letter that is the second option: "(a) 4 pens or (b) 5 pens".
_SMALL_LETTER = re.compile(r"[a-z](?=[)\]])")
# A remark on an option, ahead of a second one: "less likely (by day) or more likely (by night)".
_REMARK = re.compile(r"\s?\([^()\n]{0,80}\)(?=\s?(?:/|,|or\b|and\b))")
# The second letter begins a clause of its own: "A, and B is too small".
_CLAUSE = re.compile(
    r"[)\]*\"']{0,3}\s(?:is|was|does|has|can|cannot|could|would|says|refers|means|states|seems)\b"
)

_LATIN = re.compile(r"[A-Za-z]")
_BREAK = re.compile(r"[.!?]\s|\n")


class ChoiceReader:
    """Letters of options. Letters inside words and the article "A" are none."""

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the first option named, by a letter that stands alone or by its text.

        Several joined by commas, "or" or "and" are no answer, and neither is a letter outside the
        options; both end the search, and so does a refusal that no option's text is.
        A small letter names one in brackets ("(b)", "b)") or where it is all that follows.
        """
        options = options_of(question)
        return _as_first(self._marked(text, start, end, options), options)

    def _marked(self, text: str, start: int, end: int, options: Options) -> AnswerCandidate | None:
        """Returns the option of :meth:`marked`, by the letter that stands there."""
        denied = _NOT_THIS.match(text, start, end)
        if denied and not denied["neither"]:
            return None
        named = None if denied else self._first(text, start, end, options)
        opens = named is None or _LATIN.search(text, start, max(start, named.start))
        if denied or (opens and refuses(text, start, end)):
            return self._refused(text, start, end, options)
        if named is None or named is NONE_GIVEN:
            return named
        second = _joined_option(text, named, end, options)
        if second is None:
            return named
        # One option's text may hold both: "both A and B".
        spanning = self._option_text(text, start, end, options)
        spans = spanning and spanning.start <= named.start and spanning.end >= second.end
        return spanning if spans else NONE_GIVEN

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last line's last letter in brackets, named "option B" or alone.

        Else a letter that opens a short text or ends the text behind "is", or the one option
        whose text stands in the last sentence.
        """
        options = options_of(question)
        return _as_first(self._last(text, end, options), options)

    def _last(self, text: str, end: int, options: Options) -> AnswerCandidate | None:
        """Returns the option of :meth:`last`, by the letter that stands there."""
        end = max(0, end - _LONGEST_BARE) + len(text[max(0, end - _LONGEST_BARE) : end].rstrip())
        start = max(text.rfind("\n", 0, end) + 1, end - _LONGEST_BARE)
        if text[end - 1 : end].isalnum():  # a text that is cut off states nothing before its end
            cut = last(_BREAK.finditer(text, start, end))
            start = cut.end() if cut else start
        named: AnswerCandidate | None = None
        for match in _SURE.finditer(text, start, end):
            group = match.lastgroup or ""
            if not options.has(match[group]) or _closes_bracket(text, match):
                continue
            if _DENIED.search(text, max(0, match.start() - 12), match.start()):
                continue
            following = AnswerCandidate(match[group], *match.span(group))
            second = named and named.answer and _joined_option(text, named, end, options)
            named = NONE_GIVEN if second and second.start == following.start else following
        return named or self._named_at_the_end(text, end, options)

    def gold(self, question: Question) -> str:
        """Returns the letter of the right option, which may also be given by its text."""
        letter = options_of(question).gold_letter(question.answer)
        if not letter:
            raise DataError(
                f"question {question.id}: the answer {question.answer!r} is not the letter of one "
                f"of its {len(options_of(question).texts)} options."
            )
        return letter

    def same(self, answer: str, gold: str) -> bool:
        """Says whether the letters are the same."""
        return answer == gold

    def _first(self, text: str, start: int, end: int, options: Options) -> AnswerCandidate | None:
        """Returns the first option of a statement; ``NONE_GIVEN`` where its letter is no option."""
        if alone := _letter_alone(text, start, end, options):
            return alone
        head = _HEAD.match(text, start, end)
        if head:
            letter = text[head.end() - 1]
            if options.has(letter.upper()):
                return AnswerCandidate(letter.upper(), head.end() - 1, head.end())
        glued = _GLUED.match(text, start, end)
        if glued:
            own = lowered(options.text(glued[1]).strip())
            if own and lowered(text[glued.end() : glued.end() + len(own)]) == own:
                return AnswerCandidate(glued[1], *glued.span(1))
        letters = self._letters(text, start, end, options)
        spelt = self._option_text(text, start, end, options)
        is_number = spelt and number_spans.parse(text[spelt.start : spelt.end]) is not None
        if spelt and is_number and calculates(text, spelt.end, end):
            spelt = self._calculated(text, start, end, options)  # "750 + 5 = 755" is not 750
        candidates = [next(letters, None), spelt]
        named = [candidate for candidate in candidates if candidate]
        # Where both begin at one place, "A glass rod" is the option's text and no letter.
        first = min(named, key=lambda candidate: (candidate.start, -candidate.end), default=None)
        return NONE_GIVEN if first is None and head and head["upper"] else first

    def _refused(self, text: str, start: int, end: int, options: Options) -> AnswerCandidate | None:
        """Returns the option that a refusal ends up with, else ``NONE_GIVEN``.

        The refusal may call one the closest, give an option's text, or be what one option says.
        """
        if closest := _CLOSEST.search(text, start, end):
            return self._first(text, closest.end(), end, options)
        whole = self._option_text(text, start, end, options)
        refusing = options.refusing_letter()
        return whole or (AnswerCandidate(refusing, start, end) if refusing else NONE_GIVEN)

    def _named_at_the_end(self, text: str, end: int, options: Options) -> AnswerCandidate | None:
        """Returns the option that a text without a sure letter ends up with, see :meth:`last`."""
        head = _HEAD.match(text, 0, end) if end < _LONGEST_BARE else None
        after = text[head.end() : end].strip() if head else ""
        if head and (not after or after[0] in ".:)]"):
            letter = text[head.end() - 1].upper()
            if options.has(letter) and _is_whole(after, options.text(letter)):
                return AnswerCandidate(letter, head.end() - 1, head.end())
        closing = _LAST_LETTER.search(text, max(0, end - 20), end)
        closing = closing or _CALLED_RIGHT.search(text, max(0, end - 60), end)
        if closing and options.has(closing[1]):
            return AnswerCandidate(closing[1], *closing.span(1))
        picked = last(_PICKED.finditer(text, max(0, end - 300), end))
        if picked and options.has(picked[1]):
            return AnswerCandidate(picked[1], *picked.span(1))
        breaks = last(_BREAK.finditer(text, max(0, end - _LONGEST_BARE), max(0, end - 1)))
        start = breaks.end() if breaks else 0 if end < _LONGEST_BARE else end
        low = _without_set_aside(lowered(text[start:end]))
        if reason := _REASON.search(low):  # "James would wipe out because he was not good"
            low = low[: reason.start()]
        letters = options.letters_by_text()
        named = [option for option in letters if _find_whole(low, option) >= 0]
        if not named:  # "It must be the glass rod", of the option "a glass rod"
            letters = options.letters_by_noun()
            named = [option for option in letters if _find_whole(low, option) >= 0]
        longest = max(named, key=len, default="")
        if len(named) > 1 and (result := self._calculated(text, start, end, options)):
            return result
        if not longest or any(option not in longest for option in named) or _NOT.search(low):
            return None
        at = start + _find_whole(low, longest)
        return AnswerCandidate(letters[longest], at, at + len(longest))

    def _calculated(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """Returns the option whose value a calculation that ends the text comes to."""
        sign = text.rfind("=", start, end)
        _, by_value = options.letters_by_form()
        numbers = list(number_spans.numbers(text, sign + 1, end)) if sign >= 0 and by_value else []
        if len(numbers) != 1 or numbers[0].value not in by_value:
            return None
        return AnswerCandidate(by_value[numbers[0].value], numbers[0].start, numbers[0].end)

    def _letters(
        self, text: str, start: int, end: int, options: Options
    ) -> Iterator[AnswerCandidate]:
        """Yields the letters that stand alone and name an option."""
        for match in _LETTER.finditer(text, start, end):
            letter, after = match[0], match.end()
            if not options.has(letter) or _IN_FORMULA.search(
                text, max(0, match.start() - 20), match.start()
            ):
                continue
            if letter in "AI" and _opens_another(text, after, end, letter, options):
                continue
            if letter in "AI" and _AFTER_ARTICLE.match(text, after, end):
                own = options.text(letter)
                if not own or text[after + 1 : after + 1 + len(own)].casefold() != own.casefold():
                    continue
            yield AnswerCandidate(letter, match.start(), after)

    def _option_text(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """Returns the first option whose text stands in the range; the longest, if two begin there.

        Else the option that is the same as the range but for punctuation, or in value.
        """
        letters = options.letters_by_text()
        if not letters:
            return None
        low = _without_set_aside(lowered(text[start:end]))
        first: AnswerCandidate | None = None
        for option, letter in letters.items():
            at = _find_whole(low, option)
            size = first.end - first.start if first else 0
            if at >= 0 and (first is None or (start + at, -len(option)) < (first.start, -size)):
                first = AnswerCandidate(letter, start + at, start + at + len(option))
        return (
            first
            or self._equal_option(text, start, min(end, start + 300), options)
            or _by_noun(low, start, options)
        )

    def _equal_option(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """Returns the option that says the same as a short range."""
        by_words, by_value = options.letters_by_form()
        if letter := by_words.get(words_alone(text[start:end])):
            return AnswerCandidate(letter, start, end)
        for number in number_spans.numbers(text, start, end) if by_value else ():
            if letter := by_value.get(number.value):
                return AnswerCandidate(letter, number.start, number.end)
        return None


def _as_first(candidate: AnswerCandidate | None, options: Options) -> AnswerCandidate | None:
    """Returns an option by the first letter of those whose texts are the same."""
    if candidate is None or candidate is NONE_GIVEN or options.gold:
        return candidate
    return candidate._replace(answer=options.as_first(candidate.answer))


def _by_noun(low: str, start: int, options: Options) -> AnswerCandidate | None:
    """Returns the one option whose text stands in a range without its article."""
    found = [
        AnswerCandidate(letter, start + at, start + at + len(noun))
        for noun, letter in options.letters_by_noun().items()
        if (at := _find_whole(low, noun)) >= 0
    ]
    return found[0] if len(found) == 1 else None


def _without_set_aside(low: str) -> str:
    """Returns a text with spaces for what it sets aside behind what it names."""
    return _SET_ASIDE.sub(lambda aside: " " * len(aside[0]), low)


def _is_whole(after: str, own: str) -> bool:
    """Says whether what follows a letter that opens a text is its option's text or as short.

    In "A: First, we add" the letter is none.
    """
    rest = after.lstrip(".:)]* ")
    return len(rest) <= _LONGEST_OPTION or (own != "" and lowered(rest).startswith(lowered(own)))


def _letter_alone(text: str, start: int, end: int, options: Options) -> AnswerCandidate | None:
    """Returns the letter that a statement consists of, in another script or width too."""
    part = text[start : min(end, start + 20)]
    if part.isascii() or end - start > 20:
        return None
    plain = part.translate(_LOOK_ALIKES).strip(_AROUND_LETTER)
    if len(plain) != 1 or not options.has(plain):
        return None
    at = next(at for at, sign in enumerate(part, start) if sign.translate(_LOOK_ALIKES) == plain)
    return AnswerCandidate(plain, at, at + 1)


def _opens_another(text: str, after: int, end: int, letter: str, options: Options) -> bool:
    """Says whether the "A" of "A Glass Rod" is the article of another letter's option."""
    if text[after : after + 1] != " ":
        return False
    low = lowered(text[after + 1 : min(end, after + 200)])
    return any(
        low.startswith(option) and _stands_alone(low, 0, len(option)) and len(option) > 1
        for option, other in options.letters_by_text().items()
        if other != letter
    )


def _joined_option(
    text: str, named: AnswerCandidate, end: int, options: Options
) -> AnswerCandidate | None:
    """Returns a different option that the text joins to one: "(A) or (B)", "C, D and E"."""
    if not text[named.end : end].strip(_CLOSING_SIGNS):
        return None
    by_letter = named.end == named.start + 1 and text[named.start].upper() == named.answer
    joiner = _JOINER.match(text, _restated_end(text, named, end, options, by_letter), end)
    if joiner is None or not (joiner["sign"] or joiner["word"] or joiner["bracket"]):
        return None
    at, low = joiner.end(), lowered(text[joiner.end() : joiner.end() + 200])
    letter = _LETTER.match(text, at, end)
    small = None if letter else _SMALL_LETTER.match(text, at, end)
    if small and small[0].upper() != named.answer and options.has(small[0].upper()):
        return AnswerCandidate(small[0].upper(), at, at + 1)
    if letter and letter[0] != named.answer and options.has(letter[0]):
        either = (joiner["word"] or "").startswith("or")
        article = not joiner["bracket"] and _AFTER_ARTICLE.match(text, at + 1, end)
        if (either or not _CLAUSE.match(text, at + 1, end)) and not article:
            return AnswerCandidate(letter[0], at, at + 1)
    if by_letter and not joiner["word"]:
        return None
    for option, other in options.letters_by_text().items():
        same = other == named.answer or not (joiner["sign"] or joiner["word"])
        option = without_article(option)  # the joiner holds it
        if not same and low.startswith(option) and _stands_alone(low, 0, len(option)):
            return AnswerCandidate(other, at, at + len(option))
    return None


def _restated_end(
    text: str, named: AnswerCandidate, end: int, options: Options, by_letter: bool
) -> int:
    """Returns where an option ends with its closing signs and its text or letter said again."""
    own = without_article(lowered(options.text(named.answer).strip())) if by_letter else ""
    at = named.end
    for _ in range(3):
        closers = _CLOSERS.match(text, at, end)
        at = closers.end() if closers else at
        lead_in = _OWN.match(text, at, end)
        behind = lead_in.end() if lead_in else at
        if own and lowered(text[behind : behind + len(own)]) == own:
            at = behind + len(own)
        elif text.startswith(f" ({named.answer})", at):
            at += 4
    remark = None if by_letter else _REMARK.match(text, at, end)
    return remark.end() if remark else at


def _closes_bracket(text: str, match: re.Match[str]) -> bool:
    """Says whether the bracket of "D)" was opened before, as in "(1 - D)"."""
    before = text[max(0, match.start() - 80) : match.start()]
    return match.lastgroup == "open" and before.rfind("(") > before.rfind(")")


def _find_whole(low: str, option: str) -> int:
    """Returns where an option stands, not as a part of a longer word or number; -1: nowhere."""
    at = low.find(option)
    for _ in range(_MOST_TRIED):
        if at < 0 or _stands_alone(low, at, at + len(option)):
            return at
        at = low.find(option, at + 1)
    return -1


def _stands_alone(low: str, start: int, end: int) -> bool:
    """Says whether a range is no part of a longer word or number, such as "12" of "12.5"."""
    before, after = low[start - 1 : start], low[end : end + 2]
    if before and (before == "." or before == "_" or before.isalnum()):
        return False
    if before == "-" and low[max(0, start - 3) : start - 1].isalpha() and start > 2:
        return False  # "uncle" in "great-uncle"
    if after[:1] == "-" and after[1:].isalpha():
        return False
    if after[:1] and (after[0] in "%_" or after[0].isalnum()):
        return False
    return not (after[:1] in (".", ",") and after[1:].isdecimal())
