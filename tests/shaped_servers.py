"""Fakes that answer in the shapes of real programs: vLLM, llama.cpp's server, transformers serve.

All three write the same tokens, as far as they are asked to, and differ in how they send them.
"""

from typing import Any

from aiohttp import web
from loopback import Body, Loopback

TOKENS = (
    b"Ana", b" has", b" 3", b" pens", b".", b"\n", b"Here", b" \xf0\x9f", b"\xa4", b"\x96", b" is",
    b" one", b".", b"\n", b"Q", b":", b" more",
)  # fmt: skip
TEXT = b"".join(TOKENS).decode()

PROMPT_TOKENS = 11


def written(body: Body) -> tuple[list[int], str | None]:
    """The places of the tokens that are written, and the stop string that ends them."""
    turns = body.get("messages", [])
    begun = turns[-1]["content"] if body.get("continue_final_message") else ""
    first = len(begun.encode())
    places, text = list[int](), b""
    for place, token in enumerate(TOKENS):
        if sum(map(len, TOKENS[:place])) < first:
            continue
        if len(places) == body["max_tokens"]:
            break
        places.append(place)
        text += token
        for stop in body.get("stop", ()):
            if stop.encode() in text:
                return places, stop
    return places, None


def before(text: str, stop: str | None) -> str:
    return text.partition(stop)[0] if stop else text


def candidates(place: int) -> list[tuple[int, bytes, float]]:
    """The three likeliest tokens at a place: id, bytes and log-probability."""
    own = -0.1 - place / 64
    return [(place, TOKENS[place], own), (100, b"a", -4.0), (101, b"b", -5.0)]


class ShapedServer(Loopback):
    """One of the programs."""

    async def _reply(self, path: str, body: Body) -> Body:
        places, stop = written(body)
        reason = "stop" if stop or places[-1:] == [len(TOKENS) - 1] else "length"
        choice = self.choice(body, places, stop)
        choices = [{**choice, "index": n, "finish_reason": reason} for n in range(self.most(body))]
        return {"choices": choices, "usage": self.counted(len(places), len(choices))}

    def most(self, body: Body) -> int:
        return int(body.get("n", 1))

    def counted(self, tokens: int, count: int) -> Body:
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens * count,
                "total_tokens": PROMPT_TOKENS + tokens * count}  # fmt: skip

    def choice(self, body: Body, places: list[int], stop: str | None) -> Body:
        raise NotImplementedError

    def said(self, body: Body, text: str) -> Body:
        if "messages" in body:
            return {"message": {"role": "assistant", "content": text}}
        return {"text": text}


def text_of(places: list[int]) -> str:
    return b"".join(TOKENS[place] for place in places).decode(errors="replace")


def whole_characters(places: list[int]) -> list[bytes]:
    """Names of tokens by the text that each adds: none until a character is whole."""
    names, held = list[bytes](), b""
    for place in places:
        held += TOKENS[place]
        try:
            held.decode()
        except UnicodeDecodeError:
            names.append(b"")
            continue
        names.append(held)
        held = b""
    return names


class VLLMShaped(ShapedServer):
    """Pieces of a character have no name; the stop string's tokens are listed."""

    def choice(self, body: Body, places: list[int], stop: str | None) -> Body:
        names = whole_characters(places)
        listed: Any = None
        if body.get("logprobs") is True:
            listed = {"content": [self._entry(*each) for each in zip(places, names, strict=True)]}
        elif body.get("logprobs"):
            top = [{name.decode(): p for name, p in self._named(*each)}
                   for each in zip(places, names, strict=True)]  # fmt: skip
            listed = {"tokens": [name.decode() for name in names], "text_offset": [],
                      "token_logprobs": [candidates(place)[0][2] for place in places],
                      "top_logprobs": top}  # fmt: skip
        said = self.said(body, before(text_of(places), stop))
        return {**said, "logprobs": listed, "stop_reason": stop, "token_ids": None}

    def _named(self, place: int, name: bytes) -> list[tuple[bytes, float]]:
        own, *others = candidates(place)
        return [(name, own[2]), *((other, p) for _, other, p in others)]

    def _entry(self, place: int, name: bytes) -> Body:
        named = [{"token": each.decode(), "bytes": list(each), "logprob": p}
                 for each, p in self._named(place, name)]  # fmt: skip
        return {**named[0], "top_logprobs": named}


class LlamaShaped(ShapedServer):
    """The begun answer is repeated; usage is of one sample; characters are merged."""

    def counted(self, tokens: int, count: int) -> Body:
        return super().counted(tokens, 1)

    def choice(self, body: Body, places: list[int], stop: str | None) -> Body:
        begun = body["messages"][-1]["content"] if body.get("continue_final_message") else ""
        said = self.said(body, begun + before(text_of(places), stop))
        if not body.get("logprobs"):
            return said
        content = list[Body]()
        held = b""
        holds = "prompt" in body and any(s.startswith("\n") for s in body.get("stop", ()))
        for place, name in zip(places, whole_characters(places), strict=True):
            if holds and name == b"\n":  # it may begin the stop string
                held, name = name, b""
            elif not name:
                continue
            else:
                held, name = b"", held + name
            content.append(self._entry(place, name))
        return {**said, "logprobs": {"content": content}}

    def _entry(self, place: int, name: bytes) -> Body:
        top = [{"id": id_, "token": own.decode(errors="replace"), "bytes": list(own), "logprob": p}
               for id_, own, p in candidates(place)]  # fmt: skip
        return {**top[0], "token": name.decode(), "bytes": list(name), "top_logprobs": top}


class TransformersShaped(ShapedServer):
    """One sample, no probabilities, no begun answers; a stop string stays in the text."""

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "continue_final_message" in body:
            told = "Unexpected fields in the request: {'continue_final_message'}"
            return web.json_response({"detail": told}, status=422)
        return await super()._respond(request)

    def most(self, body: Body) -> int:
        return 1

    def choice(self, body: Body, places: list[int], stop: str | None) -> Body:
        return self.said(body, text_of(places))
