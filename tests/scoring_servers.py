"""Servers that score given texts, in the shapes of vLLM, of the older echo, and of SGLang.

Probabilities are those of a tiny model on this machine, or made up from a text's own tokens.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from aiohttp import web
from loopback import Body, Loopback
from made_up_scores import Listed
from transformers import AutoModelForCausalLM, AutoTokenizer


class ScoringModel:
    """A model of transformers, by its folder."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.ids_of = cache(self._ids_of)
        self.name_of = cache(lambda id_: str(self.tokenizer.decode([id_])))

    def _ids_of(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text)["input_ids"])

    def chat(self, body: Body) -> str:
        """The prompt that a chat is rendered to."""
        turns = [dict(turn) for turn in body["messages"]]
        text = self.tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            continue_final_message=body.get("continue_final_message", False),
            add_generation_prompt=body.get("add_generation_prompt", True),
        )
        return str(text)

    @torch.inference_mode()
    def listed(self, ids: Sequence[int], k: int) -> Listed:
        """Each token and the k likeliest."""
        values = self.model(input_ids=torch.tensor([list(ids)])).logits[0].log_softmax(-1)
        rows: Listed = [None]
        for place, own in enumerate(ids[1:]):
            best = values[place].topk(k).indices.tolist() if k else []
            row = [own, *(token for token in best if token != own)]
            rows.append([(token, float(values[place, token])) for token in row])
        return rows


Shape = Literal["vllm", "echo", "sglang", "none"]

Edit = Callable[[Body], None]
"""Changes a reply before it is sent."""


class ScoringServer(Loopback):
    """A server of one shape.

    Args:
        model: Where its numbers come from.
        shape: What it knows: the fields of the others it does not see.
    """

    def __init__(self, model: Any, shape: Shape, **options: Any) -> None:
        super().__init__(**options)
        self.model, self.shape = model, shape
        self.edit: Edit = lambda reply: None
        self.most_listed = 20
        self.shift = 0.0
        """Nats by which every second answer differs."""

        self.prompts: list[str] = []
        self.cut: int | None = None
        """Tokens of a prompt that are read at most, the first ones being left out."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        super().add_routes(router)
        router.add_post("/generate", self._handle)
        router.add_get("/v1/models", self._models)

    async def _models(self, _: web.Request) -> web.Response:
        owner = "sglang" if self.shape == "sglang" else "vllm"
        return web.json_response({"data": [{"id": "tiny", "owned_by": owner}]})

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json()).get("prompt_logprobs") or 0
        if self.shape == "vllm" and asked > self.most_listed:
            told = f"Requested prompt logprobs of {asked}, which is greater than {self.most_listed}"
            return web.json_response({"error": {"message": told}}, status=400)
        return await super()._respond(request)

    async def _reply(self, path: str, body: Body) -> Body:
        reply = self._scored(path, body)
        self.edit(reply)
        return reply

    def _scored(self, path: str, body: Body) -> Body:
        prompt = body.get("prompt", body.get("text", body.get("input_ids")))
        if prompt is None:
            prompt = self.model.chat(body)
        ids = list(self.model.ids_of(prompt) if isinstance(prompt, str) else prompt)
        ids = ids if self.cut is None else ids[-self.cut :]
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1, "total_tokens": len(ids) + 1}
        choice: Body = {"index": 0, "finish_reason": "length"}
        choice |= {"message": {"content": "x"}} if "chat" in path else {"text": "x"}
        if path == "/generate":
            return {"text": "x", "meta_info": {**usage, **self._triples(ids, body)}}
        if self.shape == "vllm" and body.get("prompt_logprobs") is not None:
            listed: Body = {"prompt_logprobs": self._mappings(ids, body["prompt_logprobs"])}
            if body.get("return_token_ids"):
                listed["prompt_token_ids"] = ids
            if "chat" in path:
                return {"choices": [choice], "usage": usage, **listed}
            return {"choices": [choice | listed], "usage": usage}
        if self.shape == "echo" and body.get("echo"):
            names = [*map(self.model.name_of, ids), "x"]
            rows = [*self._listed(ids, body["logprobs"]), [(ids[0], -0.1)]]
            choice |= {"logprobs": {
                "tokens": names,
                "token_logprobs": [row and row[0][1] for row in rows],
                "top_logprobs": [row and {self.model.name_of(one): p for one, p in row}
                                 for row in rows],
            }}  # fmt: skip
        return {"choices": [choice], "usage": usage}

    def _listed(self, ids: list[int], k: int) -> Listed:
        shift = self.shift if len(self.bodies) % 2 else 0.0
        rows = self.model.listed(ids, k)
        return [row and [(id_, p - shift) for id_, p in row] for row in rows]

    def _mappings(self, ids: list[int], k: int) -> list[Body | None]:
        return [
            None if row is None else {
                str(id_): {"logprob": max(p, -9999.0), "rank": 1 + sum(q > p for _, q in row),
                           "decoded_token": self._corrected(ids[:place], id_)}
                for id_, p in row
            }
            for place, row in enumerate(self._listed(ids, k))
        ]  # fmt: skip

    def _corrected(self, before: list[int], id_: int) -> str:
        """Returns a token's name as vLLM gives it: none for a piece of a character but the last."""
        name = str(self.model.name_of(id_))
        if not name.endswith("\ufffd"):
            return name
        for count in range(1, min(len(before), 4) + 1):
            context = before[-count:]
            whole = self.model.tokenizer.decode([*context, id_])
            if not whole.endswith("\ufffd"):
                clean = [one for one in context if "\ufffd" not in self.model.name_of(one)]
                return str(whole[len(self.model.tokenizer.decode(clean)) :])
        return ""

    def _triples(self, ids: list[int], body: Body) -> Body:
        first, k = body["logprob_start_len"], body["top_logprobs_num"]
        named = body.get("return_text_in_logprobs")
        rows = self._listed(ids, k)[first:]
        texts = [self.model.name_of(id_) if named else None for id_ in ids[first:]]
        own = [
            [row[0][1] if row and place else None, id_, text]
            for place, (row, id_, text) in enumerate(zip(rows, ids[first:], texts, strict=True))
        ]
        tops = [
            [[p, id_, self.model.name_of(id_) if named else None]
             for id_, p in sorted(row, key=lambda one: -one[1])[:k]] if row and place else None
            for place, row in enumerate(rows)
        ]  # fmt: skip
        return {"input_token_logprobs": own, "input_top_logprobs": tops}
