"""A program that asks a student, for its card; it runs as it is pasted into the model's folder."""

from collections.abc import Sequence

from potstill.prompts.format_templates import worded_question
from potstill.prompts.styles import Exemplar, PromptStyle

HERE = "."
"""The model's folder, where the program is run; on the hub the model's name stands there."""

QUESTION = "Put your question here."


def snippet(
    style: PromptStyle,
    *,
    encoder_decoder: bool,
    max_tokens: int,
    exemplars: Sequence[Exemplar] = (),
    name: str = HERE,
    number_format: str = "",
) -> str:
    """Returns a program of Python that asks the student as it was measured.

    Args:
        style: How it is asked.
        encoder_decoder: Whether its prompt goes to an encoder.
        max_tokens: The longest answer, in tokens.
        exemplars: The worked questions that its prompts begin with.
        name: The folder or hub name that it is loaded from.
        number_format: The one that its answers are computed in; empty: transformers chooses.
    """
    auto = "AutoModelForSeq2SeqLM" if encoder_decoder else "AutoModelForCausalLM"
    generate = [f"max_new_tokens={max_tokens}", "do_sample=False"]
    if style.stop:
        generate += [f"stop_strings={[*style.stop]!r}", "tokenizer=tokenizer"]
    loaded = f", dtype={number_format!r}" if number_format else ""
    lines = [
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f"name = {name!r}",
        "tokenizer = AutoTokenizer.from_pretrained(name)",
        f"model = {auto}.from_pretrained(name{loaded})",
        f"question = {QUESTION!r}",
        *_inputs(style, exemplars, encoder_decoder=encoder_decoder),
        f"output = model.generate(**inputs, {', '.join(generate)})[0]",
    ]
    if encoder_decoder:
        lines.append("answer = tokenizer.decode(output, skip_special_tokens=True)")
    else:
        lines.append('written = output[inputs["input_ids"].shape[1] :]')
        lines.append("answer = tokenizer.decode(written, skip_special_tokens=True)")
    lines += [f"answer = answer.partition({stop!r})[0]" for stop in style.stop]
    return "\n".join([*lines, "print(answer)"])


def _inputs(
    style: PromptStyle, exemplars: Sequence[Exemplar], *, encoder_decoder: bool
) -> list[str]:
    """Returns the lines that make a prompt's tokens of a question."""
    worded = worded_question(style, exemplars)
    if not encoder_decoder:  # the chat template in the folder words the question
        return [
            'messages = [{"role": "user", "content": question}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        ]
    prompt = " + ".join(
        part
        for place, text in enumerate(worded.parts)
        for part in (["question"] if place else []) + ([repr(text)] if text else [])
    )
    if worded.chat:
        return [
            f'messages = [{{"role": "user", "content": {prompt}}}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        ]
    return [f'inputs = tokenizer({prompt}, return_tensors="pt")']
