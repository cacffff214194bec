"""Whether a stored thing still answers a question: an id may come to stand for another text.

Ids are often row numbers, and the rows of a file shift when one is put in or taken out. So a
request answers a question only where its prompt holds the question's text, and a rationale only
where it was graded on that text, those options and that gold answer::

    graded_on(rationale, question, request)   the question of its id, as it was when it was curated
    answers_question(prediction, question)    the question of its id, as it was when it was asked
"""

from potstill.keys import question_digest
from potstill.records import GuidedPrediction, Prediction, Question, Rationale, Request


def asks(request: Request, question: Question) -> bool:
    """Whether a request's prompt holds the question's text, white space aside."""
    prompt = request.prompt
    sent = prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)
    return _one_spaced(question.text) in _one_spaced(sent)


def graded_on(rationale: Rationale, question: Question, request: Request) -> bool:
    """Whether a rationale was graded on this very question and gold answer.

    Args:
        rationale: A curated one.
        question: The question that has its id now.
        request: The request that the rationale answers. It decides alone where an older potstill
            curated: then nothing tells whether the gold answer has changed.
    """
    if rationale.question_id != question.id:
        return False
    if not rationale.question_digest:
        return asks(request, question)
    return (rationale.question_digest, rationale.gold) == (
        question_digest(question),
        question.answer,
    )


def answers_question(answer: Prediction | GuidedPrediction, question: Question) -> bool:
    """Whether a test answer is one to this very question, by whatever gold answer it was graded.

    One that an older potstill stored is taken to be, as it has the question's id.
    """
    own = answer.question_id == question.id
    return own and answer.question_digest in ("", question_digest(question))


def _one_spaced(text: str) -> str:
    return " ".join(text.split())
