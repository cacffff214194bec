"""The rule ``judge``: a model reads the answers that rules cannot read."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from exchange_runs import fill, open_run, write_recipe
from fakes import ScriptedModel, context_of

from potstill.errors import ConfigError
from potstill.evaluate.measure import texts_for_judge
from potstill.pipeline.judge_lines import described_judge
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.teachers import TeacherPool
from potstill.records import Question, Request, Task
from potstill.sampling.ask import Answer
from potstill.sampling.judge import STAGE, Judge, judge_request
from potstill.store import Store

ASKED = Question(id="q", text="Would it help the sport?", answer="no")
PROSE = "Nobody could watch it, and so it would hardly gain traction."


def task(rule: str = "judge") -> Task:
    return Task(
        name="sports",
        answer_type="yes_no",
        splits={"train": (ASKED,), "dev": (), "test": ()},
        rule=rule,
    )


def reads(request: Request, sample: int) -> str:
    """A judge that knows what "hardly" means, and errs about one text."""
    shown = request.prompt if isinstance(request.prompt, str) else request.prompt[0].content
    if "hardly" in shown:
        return "Answer: no"
    return "Answer: unknown" if "Who knows" in shown else "Answer: yes"


def test_a_judge_reads_what_the_rules_cannot_and_no_more(tmp_path: Path) -> None:
    model = ScriptedModel(reads, chat=True)
    texts = [PROSE, "Who knows?", "The answer is yes.", "So the answer is no."]
    with Store(tmp_path / "run.sqlite") as store:
        judge = Judge(model, context_of(store))
        figures = judge.ask(task(), [(ASKED, text) for text in texts], stage="curate")
        assert figures is not None
        assert (figures.unread, figures.answered, figures.silent) == (2, 1, 0)
        assert (figures.compared, figures.agreed) == (2, 1)
        grades = [judge.grade(task(), text, ASKED) for text in texts]
        assert [(one.answer, one.correct) for one in grades] == [
            ("no", True), (None, False), ("yes", False), ("no", True),
        ]  # fmt: skip
        assert [one.rule for one in grades] == ["judge", "no_answer", "marker", "marker"]
        assert store.judge_figures() == [figures]
        assert [stage.name for stage in store.stages()] == [STAGE]
        asked = len(model.asked)
        judge.ask(task(), [(ASKED, text) for text in texts], stage="curate")
        assert len(model.asked) == asked, "what it said is stored"
        shown = [request.prompt for request in model.asked]
        assert all("no\n" not in str(prompt).replace(ASKED.text, "") for prompt in shown)


def test_a_judge_is_not_asked_of_samples_whose_votes_do_not_count() -> None:
    def sample(number: int, text: str, reason: str = "stop") -> Answer:
        return Answer(number, number, text, text, reason, 5)

    other = replace(ASKED, id="other")
    samples = {
        "q": [sample(0, PROSE), sample(1, "The answer is yes."), sample(2, "It", "length")],
        "other": [sample(3, PROSE), sample(4, "Who knows?")],
    }
    shown = [(one.id, text) for one, text in texts_for_judge(task(), [ASKED, other], samples)]
    assert shown == [("q", "The answer is yes."), ("other", PROSE), ("other", "Who knows?")]


def test_nothing_is_asked_by_default_or_where_the_rules_read_all(tmp_path: Path) -> None:
    model = ScriptedModel(reads, chat=True)
    with Store(tmp_path / "run.sqlite") as store:
        judge = Judge(model, context_of(store))
        assert judge.ask(task("potstill"), [(ASKED, PROSE)], stage="curate") is None
        assert judge.ask(task(), [(ASKED, "The answer is no.")], stage="curate") is None
        assert judge.unasked().ask(task(), [(ASKED, PROSE)], stage="curate") is None
        assert judge.grade(task(), PROSE, ASKED).answer is None
    assert model.asked == []


def test_the_gold_answer_is_not_shown() -> None:
    question = Question(id="q", text="How many?", answer="4711")
    request = judge_request(task(), question, "As many as there were.", chat=False)
    assert "4711" not in str(request.prompt)
    assert str(request.prompt).endswith("Answer:")


def test_a_plain_model_goes_on_from_the_word_answer(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request, sample: " no", chat=False)
    with Store(tmp_path / "run.sqlite") as store:
        judge = Judge(model, context_of(store))
        judge.ask(task(), [(ASKED, PROSE)], stage="curate")
        assert judge.grade(task(), PROSE, ASKED).correct


def test_a_recipe_names_a_judge_where_its_rule_asks_one(tmp_path: Path) -> None:
    questions = tmp_path / "sums.jsonl"
    path = write_recipe(tmp_path, task={"file": str(questions), "id": "id", "rule": "judge"})
    with pytest.raises(ConfigError, match="no model is to judge"):
        load_recipe(path)
    path = write_recipe(tmp_path, judge={"model": "openai:small", "base_url": "http://j.example"})
    with pytest.raises(ConfigError, match="no task is graded by it"):
        load_recipe(path)


def test_curation_asks_the_judge_and_regrading_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(
        tmp_path,
        task={"file": str(tmp_path / "sums.jsonl"), "id": "id", "rule": "judge"},
        judge={"model": "openai:small", "base_url": "http://j.example", "api_key_env": None},
    )

    def said(request: Request, sample: int) -> str:
        text = str(request.prompt[0])
        return f"Answer: {2 * int(text.split('What is ')[1].split(' ')[0])}"

    model = ScriptedModel(said, chat=True)
    with open_run(recipe) as run:
        monkeypatch.setattr(TeacherPool, "judge", Judge(model, run.context))
        fill(run, ["As many as there are fingers.", "Twice it.\nThe answer is {answer}."])
        assert run.curate() == {"kept": 6}
        assert len(model.asked) == 6
        lines = run.judge_lines()
        assert "the judge scripted read an answer in 3 of 3 texts" in lines[0]
        assert "the same answer as the rules in 3 (100.0%" in lines[0]
        assert re.fullmatch(
            r"The judge wrote [\d,]+ tokens so far and its cost is not known: its prices are not "
            "known.",
            lines[1],
        )
        told = list(described_judge(run.store.judge_figures(), run.store.stages(), uncounted=2))
        assert told[1].endswith(
            "and cost $0.0000. 2 answers came without some count of tokens; they stand at the most "
            "that they can cost."
        )
        assert run.regrade().rationale_flips == []
        assert len(model.asked) == 6
    rows = [json.loads(line) for line in (tmp_path / "sums.jsonl").read_text().splitlines()]
    assert len(rows) == 5
