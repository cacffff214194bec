"""Kinds of statements that a grader misreads where it goes by the first or last candidate."""

import pytest

from potstill import Question, grade
from potstill.grading.answers import number_spans, yes_no_words
from potstill.records import AnswerType

BOXES = ("a red box", "an old lamp", "a glass rod", "a cup of tea")


def read(answer_type: AnswerType, text: str, gold: str, asked: str = "") -> str | None:
    choices = BOXES if answer_type == "choice" else ()
    question = Question(id="q", text=asked, answer=gold, choices=choices)
    return grade(answer_type, text, question).answer


@pytest.mark.parametrize(
    "text",
    [
        "The floor covers 30 m^2.",
        "Its area is $30~\\mathrm{cm}^{2}$",
        "5 cm x 6 cm = 30 cm^2.",
        "It covers 30 square feet (30 ft^2).",
        "The volume is 30 in**3",
        "The tank holds 30 dm\u00b3.",
        "The speed is 30 m*s^-1",
        "$a_{1} = 30\\text{ km}^2$",
    ],
)
def test_the_exponent_of_a_unit_is_no_answer(text: str) -> None:
    assert read("number", text, "30") == "30"


@pytest.mark.parametrize(
    ("text", "value"),
    [("2^10", "1024"), ("5\u00b2", "25"), ("3\u00d710\u2074", "30000"), ("4 * 10**3", "4000"),
     ("6\u00b710^{2}", "600"), ("9^{9999}", "9")],
)  # fmt: skip
def test_powers_of_numbers_have_their_value(text: str, value: str) -> None:
    assert read("number", f"The answer is {text}", "1") == value


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 24 = 4 * 6.",
        "**Answer: 24** = 4 \u00d7 6",
        "Final answer: $24 = 4 \\times 6$",
        "#### 24 = 30-6",
        "Answer: 24 eggs = 4 boxes * 6",
        "So the total is 24 = 4 * 6.",
        "In the end she has 24 = 12 + 12",
        "So 24 = 2(4+8).",
        "The answer is 4 * 6 = 24 eggs.",
        "The answer is 24 = 48/2 = 24.",
    ],
)
def test_a_result_counts_on_either_side_of_its_equation(text: str) -> None:
    assert read("number", text, "24") == "24"


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 8 or 9.",
        "The answer is $8 or $9.",
        "The answer is 8 apples or 9 apples.",
        "The answer is 7, 8 or 9.",
        "The answer is 8, 9",
        "The answer is 8 and 9.",
        "The answer is between 8 and 9.",
        "The answer is 8 through 9.",
        "The answer is 8..9",
        "Between 8 and 9 hours are left. The answer is between 8 and 9 hours.",
        "The answer is 8-9.",
        "Answer: 8\u20139 apples",
        "The answer is 8 to 9.",
        "The answer is from 8 to 9 days",
        "So he has 8 or 9 left.",
        "It takes 8-9",
        "The answer could be 8 or possibly 9, by how one rounds.",
        "The answer is 8 \u2013 possibly 9.",
        "The answer is 8, maybe 9.",
        "The answer is 8 (perhaps 9)",
    ],
)
def test_several_numbers_are_no_single_answer(text: str) -> None:
    assert grade("number", text, "8").rule == "no_answer"
    assert grade("number", text, "9").rule == "no_answer"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 8 or 8.0.", "8"),
        ("The answer is 8 eggs, with 3 left over.", "8"),
        ("The difference between 11 and 3 is 8.", "8"),
        ("The answer is 11 - 3 = 8.", "8"),
        ("The answer is 8 (it rose from 3 to 11).", "8"),
        ("The answer is 1 hour and 30 minutes, i.e. 90 minutes.", "90"),
        ("The answer is 3 dozen, which is 36 eggs.", "36"),
        ("The answer is 3 dozen.", "3"),
        ("The answer is the 3rd floor.", "3"),
        ("The answer is \uff11\uff0c\uff12\uff13\uff14\uff0c\uff15\uff16\uff17", "1234567"),
        ("The answer isn't 3 but 2.", "2"),
        ("The answer is 4*5, i.e. 20.", "20"),
        ("The answer is 4 * 5, which is 20.", "20"),
        ("The answer is 4 \u00d7 5 (20)", "20"),
        ("The answer is 4 (5 - 1).", "4"),
        ("Answer: 20 \u2248 19.8", "20"),
        ("Answer: 19.8 \u2248 20", "20"),
        ("The answer is 10/3 \u2248 3.33", "3.33"),
        ("The answer is 1 234 567.", "1234567"),
        ("The answer is 12 500 people", "12500"),
        ("The answer is 1 234,50 euros", "1234.5"),
        ("The answer is 4 500 - 3 200 = 1 300", "1300"),
        ("The answer is 2 100 meter races.", "2"),
        ("The answer is 1_234_567", "1234567"),
        ("So x_1_234 is 7", "7"),
        ("The answer is 2 of the 3rd row's 5 seats.", "2"),
    ],
)
def test_what_looks_like_several_and_is_one(text: str, value: str) -> None:
    assert read("number", text, "1") == value


@pytest.mark.parametrize(
    "text",
    [
        "They had more than 22. However, we cannot determine the exact number.",
        "The answer is at least 22. So it is not possible to determine how many.",
        "The answer is not 22.",
        "So the total isn't equal to $22",
        "22 = 5, which is false. We can't give an answer, so we cannot calculate it.",
    ],
)
def test_a_text_that_gives_up_at_its_end_has_no_answer(text: str) -> None:
    assert read("number", text, "22") is None


def test_what_is_asked_for_counts_among_several_counts() -> None:
    text = "Answer: Jake has 136 apples and 3 peaches."
    assert read("number", text, "3", "How many peaches does Jake have?") == "3"
    text = "The answer is 20% x 80% = 0.2 x 0.8 = 0.16, or 16%."
    assert read("number", text, "16") == "16"
    assert read("number", text, "0.16") == "0.16"
    assert read("number", "The answer is 3/4 or 75%.", "0.75") == "0.75"


def test_the_unit_that_is_asked_for_counts() -> None:
    text = "The answer is 2 hours (that is 120 minutes)."
    assert read("number", text, "1", "How many minutes does it take?") == "120"
    assert read("number", text, "1", "How many hours does it take?") == "2"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is A Glass Rod.", "C"),
        ("Answer: A GLASS ROD", "C"),
        ("The answer is: A Cup of Tea", "D"),
        ("Answer: A red box", "A"),
        ("The answer is A.", "A"),
        ("The answer is A because it is red.", "A"),
        ("I would pick B \u2014 a safe choice.", "B"),
        ("I choose (D), since tea is hot.", "D"),
        ("A and B are wrong. So C is correct.", "C"),
        ("D is right.", "D"),
        ("So it's B", "B"),
        ("\u041e\u0442\u0432\u0435\u0442: \u0421", "C"),
        ("\u7b54\u6848\uff1a\uff08\uff22\uff09", "B"),
        ("**Answer: D**\n\nIt follows as \\boxed{\\langle B\\rangle \\ll \\Delta E}.", "D"),
    ],
)
def test_letters_and_the_texts_of_options(text: str, letter: str) -> None:
    assert read("choice", text, "A") == letter


def test_several_letters_are_no_answer_whatever_follows() -> None:
    assert read("choice", "Answer: A, C, and D. One needs a red box and a cup of tea.", "A") is None
    assert read("choice", "It is a red box because it is not an old lamp.", "A") == "A"


def test_a_part_of_a_calculation_is_no_option() -> None:
    question = Question(id="q", text="", answer="D", choices=("750", "752", "754", "755"))
    assert grade("choice", "The answer is 750 + 5 = 755 D", question).answer == "D"
    assert grade("choice", "Hence one keeps them on the D", question).answer == "D"


def test_a_calculation_names_the_option_of_its_result() -> None:
    question = Question(id="q", text="", answer="B", choices=("20", "21", "22"))
    assert grade("choice", "20 + 1 = 21", question).answer == "B"


MATHEMATICS = [
    ("\u221a2", "\\sqrt{2}"),
    ("3\u221a(5)", "3\\sqrt{5}"),
    ("x\u00b2 + 1", "x^2+1"),
    ("\u00bd", "\\frac{1}{2}"),
    ("(-\u221e, 3]", "(-\\infty,3]"),
    ("3\u00d710\u2074", "30000"),
    ("(1+\u221a5)/2", "\\frac{1+\\sqrt{5}}{2}"),
    ("2\u03c0", "2\\pi"),
    ("sqrt(13)", "\\sqrt{13}"),
    ("2pi/3", "\\frac{2\\pi}{3}"),
    ("x \u2264 3", "x\\le 3"),
    ("\u00b13", "\\pm 3"),
    ("1 \u2264 x < 5", "[1,5)"),
    ("x > 2", "(2,\\infty)"),
    ("5 \u2265 x", "(-\\infty,5]"),
    ("the point (2, 3)", "(2,3)"),
    ("2 square units", "2"),
    ("\\frac{2}{15} of a gallon", "\\frac{2}{15}"),
    ("A,B", "\\text{A, B}"),
    ("June 20", "\\text{June 20}"),
    ("Red, Green, Blue", "\\text{Red, Green, Blue}"),
    ("there are 256 such integers", "256"),
    ("that the magnitude of $5-12i$ is 13", "13"),
    ("that exactly $5$ values of $x$ work, so there are $5$", "5"),
]


@pytest.mark.parametrize(("text", "gold"), MATHEMATICS)
def test_mathematics_without_latex_and_in_prose(text: str, gold: str) -> None:
    pytest.importorskip("math_verify")
    assert grade("math", f"The answer is {text}.", gold).correct


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("Thus there are 23 integers of the form $1+9n$.", "23"),
        ("The probability of white is $\\dfrac{5}{11}$.  This is the final answer.", "\\frac5{11}"),
        ("Hence the ratio is $\\frac{2}{25}$, which is our answer.", "\\frac{2}{25}"),
        ("The largest area is 36 square inches, which occurs when $w=6$ and $l=6$.", "36"),
        ("There are $3$ red and $8$ in all, so the probability is $\\frac38$.", "\\frac38"),
        ("There are 2 primes between 30 and 40: 31 and 37.", "2"),
        (
            "From most to least popular the order is: Chess, Darts, Golf",
            "\\text{Chess, Darts, Golf}",
        ),
        ("The length is 2\u221a3.", "2\\sqrt{3}"),
    ],
)
def test_the_last_sentence_of_a_solution_states_its_answer(text: str, gold: str) -> None:
    pytest.importorskip("math_verify")
    assert grade("math", text, gold).correct


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("(1,2]", "(1,2)"),
        ("1 < x < 2", "[1,2]"),
        ("\u221a3", "\\sqrt{2}"),
        ("x \u2265 3", "x\\le 3"),
    ],
)
def test_what_differs_stays_wrong(text: str, gold: str) -> None:
    pytest.importorskip("math_verify")
    assert not grade("math", f"The answer is ${text}$.", gold).correct


def test_a_description_is_no_answer_where_one_number_is_new() -> None:
    pytest.importorskip("math_verify")
    text = "The car can travel 256 miles on 8 gallons of gas."
    question = Question(id="q", text="How far does it go on 8 gallons?", answer="256")
    assert grade("math", text, question).correct


@pytest.mark.parametrize("text", ["10 20 300", "1 234 56", "7 100-metre races", "3 400x2"])
def test_spaces_that_join_no_thousands(text: str) -> None:
    assert next(n.value for n in number_spans.numbers(text)) == int(text.split()[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It must be the glass rod.", "C"),
        ("The answer is old lamp", "B"),
        ("Only the old lamp or the glass rod fit.", None),
        ("It is no glass rod.", None),
    ],
)
def test_an_option_is_named_without_its_article(text: str, value: str | None) -> None:
    assert read("choice", text, "C") == value


TWICE = ("a bank", "the river", "a bank", "a pond")


@pytest.mark.parametrize(
    ("gold", "text", "correct"),
    [
        ("a bank", "The answer is C.", True),
        ("a bank", "The answer is (A).", True),
        ("a bank", "It must be the bank.", True),
        ("a bank", "The answer is B.", False),
        # a gold letter is that letter, and the text that two options have names it
        ("C", "The answer is (A).", False),
        ("C", "The answer is a bank.", True),
        ("A", "The answer is a bank.", True),
    ],
)
def test_options_of_one_text_are_one_where_the_gold_answer_is_a_text(
    gold: str, text: str, correct: bool
) -> None:
    question = Question(id="q", text="", answer=gold, choices=TWICE)
    assert grade("choice", text, question).correct == correct


def test_options_whose_numbers_were_lost_are_not_named_by_their_unit() -> None:
    question = Question(id="q", text="", answer="B", choices=("km", "km", "km"))
    assert grade("choice", "The answer is 30 km", question).answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yep.", "yes"),
        ("Nope, it did not.", "no"),
        ("Yeah", "yes"),
        ("Indeed, it is.", "yes"),
        ("That is right.", "yes"),
        ("That's not right.", "no"),
        ("Of course.", "yes"),
        ("That is so.", "yes"),
        ("3 and 4 are 7. So", None),
        ("I don't know whether yes.", None),
        ("It is unclear whether the statement is true.", None),
        ("The answer is: I cannot say if it is true or not.", None),
        ("The answer is yes, though nobody knows whether it was so.", "yes"),
    ],
)
def test_yes_and_no_in_other_words(text: str, answer: str | None) -> None:
    assert grade("yes_no", text, "yes").answer == answer


@pytest.mark.parametrize(
    ("gold", "text", "answer"),
    [
        ("Ja", "Ja, das ist richtig.", "yes"),
        ("Ja", "Das ist ja klar. Die Antwort ist: Nein.", "no"),
        ("nein", "Nein, das ist nicht wahr.", "no"),
        ("Ja", "Das ist nicht falsch.", "yes"),
        ("Ja", "Ja oder Nein?", None),
        ("Ja", "Yes.", "yes"),
        ("Oui", "La r\u00e9ponse est non.", "no"),
        ("non", "Non, ce n'est pas vrai.", "no"),
        ("S\u00ed", "La respuesta es s\u00ed.", "yes"),
        ("No", "S\u00ed, claro.", "yes"),
        ("no", "Ella no vive en Lima. La respuesta es no.", "no"),
        ("\u0414\u0430", "\u041e\u0442\u0432\u0435\u0442: \u043d\u0435\u0442.", "no"),
        ("\u662f", "\u7b54\u6848\u662f\uff1a\u662f\u3002", "yes"),
        ("\u5426", "\u4f46\u662f\uff0c\u7b54\u6848\uff1a\u4e0d\u662f", "no"),
        ("Evet", "Cevap: Hay\u0131r", "no"),
        ("wahr", "Das ist wahr.", "yes"),
        # an English gold answer leaves other languages alone
        ("yes", "Ja.", None),
        ("true", "Das ist falsch.", None),
    ],
)
def test_yes_and_no_in_the_language_of_the_gold_answer(
    gold: str, text: str, answer: str | None
) -> None:
    assert grade("yes_no", text, gold).answer == answer


def test_no_word_says_yes_in_one_language_and_no_in_another() -> None:
    for table in yes_no_words._tables():
        assert {word: yes_no_words.gold_meaning(word) for word in table} == dict(table)


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        (r"$\boxed{1<x \text{ and } x<5}$", True),
        (r"$\boxed{x<5 \text{ and } x>1}$", True),
        (r"$\boxed{x>1 \land 5>x}$", True),
        ("The answer is 1 < x and x < 5.", True),
        (r"$\boxed{x>1 \text{ and } x>5}$", False),
        (r"$\boxed{x>1 \text{ and } y<5}$", False),
        (r"$\boxed{x<1 \text{ or } x>5}$", False),
    ],
)
def test_two_inequalities_joined_by_and_are_an_interval(text: str, correct: bool) -> None:
    assert grade("math", text, "(1,5)").correct == correct


@pytest.mark.parametrize(
    "text",
    [
        "The answer is (b) old lamp or (c) glass rod.",
        "So the answer is either (b) an old lamp or (c) a glass rod.",
        "The answer is (b) an old lamp and (c) a glass rod",
        "Answer: b) an old lamp, c) a glass rod",
        "Answer: an old lamp (by day) or a glass rod (by night)",
        "Answer: an old lamp (by day) / a glass rod (by night)",
    ],
)
def test_options_in_small_letters_and_with_remarks_are_several(text: str) -> None:
    assert read("choice", text, "B") is None
    assert read("choice", text, "C") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is (b) an old lamp (c is not).", "B"),
        ("The answer is (b) an old lamp, which shines.", "B"),
        ("Answer: a glass rod (for stirring) of any length", "C"),
        ("B: an old lamp", "B"),
        ("B: " + "This follows, since " + "one adds and adds, " * 9, None),
        ("The answer is larger than B", None),
    ],
)
def test_one_option_stays_one(text: str, value: str | None) -> None:
    assert read("choice", text, "B") == value


@pytest.mark.parametrize(
    ("asked", "text", "value"),
    [
        (
            "How many 2 dollar games could he buy?",
            "Answer: Ed had 16 dollars left, and he could buy 8 games with that money.",
            "8",
        ),
        (
            "He sorted 35 and 5 pictures into 5 albums. How many pictures were in each album?",
            "Answer: Rob sorted the 40 pictures into 5 albums with 8 pictures in each album.",
            "8",
        ),
        (
            "The red pens cost 5 dollars each. How many red pens are there?",
            "Answer: The number of red pens is 18 and the cost of the red pens is 90 dollars.",
            "18",
        ),
        (
            "He made 144 pies and 111 more, and sold 71. How many more did he make than sell?",
            "Answer: He made 255 pies, which is 184 more than those he sold.",
            "184",
        ),
        (
            "How many more files than apps has he left?",
            "Answer: Dan has 22 files left, which is 20 more files than apps.",
            "20",
        ),
        ("How many dollars do they cost?", "Answer: It is 18 pens, so it is 90 dollars.", "90"),
    ],
)
def test_of_several_counts_the_one_that_is_asked_for(asked: str, text: str, value: str) -> None:
    assert read("number", text, value, asked) == value


@pytest.mark.parametrize(
    "text",
    [
        "She left on May 9th, 2017. Therefore, today's date depends on the year.",
        "If it is a leap year it is 02/29/2016.\nWithout more we cannot determine the date.",
    ],
)
def test_a_last_sentence_takes_a_date_back(text: str) -> None:
    assert read("date", text, "05/09/2017") is None
    remark = "Answer: May 8, 2002 (assuming today is May 7, 2002)"
    assert read("date", remark, "05/08/2002") == "2002-05-08"
    asked = "It depends on May 9th, 2017. Today is 05/10/2017."
    assert read("date", asked, "05/10/2017") == "2017-05-10"


def test_a_long_last_line_may_end_in_what_it_gives() -> None:
    line = "The last letter of Ann is n and the last letter of Bob is b, which one then joins. "
    assert read("text", f"{line}Joining them gives 'nb'.", "nb") == "nb"
    assert read("text", f'{line}So we get "nb"', "nb") == "nb"
    assert read("text", f"{line}So it is said that 'nb' was there.", "nb") is None


def test_neither_yes_nor_no_is_no_yes() -> None:
    assert grade("yes_no", "The answer is neither yes nor no.", "yes").answer is None
    assert grade("yes_no", "The answer is both yes and no.", "yes").answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Also ist die Antwort Ja.", "ja"),
        ("Die Antwort ist Ja.", "ja"),
        ("Antwort: Ja", "ja"),
        ("Dus is het antwoord Parijs.", "parijs"),
        ("S\u00e5 \u00e4r svaret Paris.", "paris"),
        ("La r\u00e9ponse est Paris.", "paris"),
        ("La respuesta es Par\u00eds.", "par\u00eds"),
        ("La risposta \u00e8 Parigi.", "parigi"),
        ("A resposta \u00e9 Paris.", "paris"),
        ("Das Endergebnis lautet Paris.", "paris"),
        ("El resultado final es Paris.", "paris"),
    ],
)
def test_short_statements_in_other_languages(text: str, answer: str) -> None:
    assert read("text", text, "x") == answer
    assert read("number", text.replace(text.split()[-1], "12 (3 * 4)"), "12") == "12"


def test_a_question_named_behind_the_word_for_answer_is_none() -> None:
    assert read("number", "Also ist die Antwort auf Frage 3: 12", "12") == "12"


@pytest.mark.parametrize(
    ("text", "asked", "value"),
    [
        ("The total is 5 \u00d7 4 = 20 apples, not 21.", "", "20"),
        ("It is 20, rather than 21.", "", "20"),
        ("She needs 20 (and not 21).", "", "20"),
        ("She has 20 apples left out of 24.", "", "20"),
        ("She has 4 left. That is out of 24.", "", "24"),
        ("It is not 20.", "", None),
        ("The answer is 2 dozen.", "How many eggs?", "2"),
    ],
)
def test_a_number_that_is_set_aside_is_no_answer(text: str, asked: str, value: str | None) -> None:
    assert read("number", text, "20", asked) == value


@pytest.mark.parametrize(
    ("gold", "asked", "value"),
    [
        ("24", "How many eggs has she?", "24"),
        ("2", "How many eggs has she?", "2"),
        ("24", "How many dozen eggs has she?", "2"),
    ],
)
def test_dozens_are_read_in_the_unit_of_the_gold_answer(gold: str, asked: str, value: str) -> None:
    assert read("number", "The answer is 2 dozen eggs.", gold, asked) == value


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is the glass rod (not the old lamp).", "C"),
        ("It is the glass rod, not the old lamp.", "C"),
        ("It is the old lamp rather than the glass rod.", "B"),
        ("It is not the glass rod.", None),
        ("Not A, not C, so B", "B"),
        ("The answer is not A, not C, so B.", "B"),
        ("It can't be A, C or D, leaving B.", "B"),
    ],
)
def test_an_option_that_is_set_aside_is_no_answer(text: str, letter: str | None) -> None:
    assert read("choice", text, "A") == letter


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("The answer is 5!", "120", True),
        ("x = 5!", "120", True),
        ("The answer is 5!", "5", True),
        ("The answer is 5!", "24", False),
        ("log\u2082 8", "3", True),
        ("The answer is log_2(8)", "3", True),
        ("log\u2082 8", "4", False),
    ],
)
def test_factorials_and_plain_logarithms(text: str, gold: str, correct: bool) -> None:
    assert grade("math", text, gold).correct == correct


@pytest.mark.parametrize(
    "around", ["The answer is {}.", "{}", "Reasons.\n#### {}", "**Answer:** {}"]
)
@pytest.mark.parametrize(
    ("answer_type", "gold"),
    [
        ("number", "2^10"), ("number", "1.234,5"), ("number", "3 dozen"), ("number", "\u00bd"),
        ("yes_no", "N"), ("yes_no", "0"), ("yes_no", "JA."), ("yes_no", "R"), ("yes_no", "oui"),
        ("text", "Part one. Part two"), ("text", "St. Petersburg"), ("text", "who because of"),
        ("date", "May 1, 2021"), ("list", "a, b and c"),
        ("math", "5!"), ("math", "\u221e"), ("math", "log\u2082 8"), ("math", "x\u2081"),
        ("math", "x \u2264 3"),
    ],
)  # fmt: skip
def test_what_is_taken_as_a_gold_answer_can_be_given(
    around: str, answer_type: AnswerType, gold: str
) -> None:
    assert grade(answer_type, around.format(gold), gold).correct
