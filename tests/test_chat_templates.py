"""The common chat templates, read from an installed wheel: what is trained is what they render."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from tiny_models import byte_level_tokenizer

ROOT = Path(__file__).parents[1]
WHEEL = ROOT / ".templates"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("chat_templates")
    patch.undo()
    return module


def test_every_template_agrees_or_has_an_exception_on_the_page(script: ModuleType) -> None:
    folder = script.template_folder(WHEEL)
    if folder is None:
        pytest.skip("the wheel axolotl is not installed; benchmarks/chat_templates.py brings it")
    templates = script.read_templates(folder)
    made = byte_level_tokenizer()
    script.fit(made, [*templates.values()])
    rows = [script.checked(name, text, made) for name, text in templates.items()]
    assert [(row.name, row.faults) for row in rows if row.faults] == []
    exact = {row.name for row in rows if not any(row.outcomes.values())}
    assert {"chatml", "llama3", "gemma3", "phi_4", "qwen_25", "mistral_v1"} <= exact
    page = (ROOT / "docs" / "chat-templates.md").read_text(encoding="utf-8")
    told = {reason for row in rows for reason in row.outcomes.values() if reason}
    for reason in told:
        assert f"{reason[:1].upper()}{reason[1:]}." in page, reason
    for name in templates:
        assert f"| {name} |" in page


def test_a_fault_of_training_is_seen(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script would tell of a loss on too much, and of an end that is not learned."""
    made = byte_level_tokenizer()
    text = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    script.fit(made, [text])
    row = script.checked("own", text, made)
    assert not row.faults and not any(row.outcomes.values())
    whole = script.Encoder.encode

    def shifted(self: object, examples: object, **limits: int) -> object:
        encoded = whole(self, examples, **limits)
        moved = [
            one._replace(prompt=one.prompt[:-1], target=[one.prompt[-1], *one.target[:-1]])
            for one in encoded.examples
        ]
        return encoded._replace(examples=moved)

    monkeypatch.setattr(script.Encoder, "encode", shifted)
    faults = script.checked("own", text, made).faults
    for told in ("not what is asked", "end of the turn is not learned", "more or less than"):
        assert any(told in fault for fault in faults)
