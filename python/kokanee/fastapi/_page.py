"""The page `/asyncdocs`: the events of a `SocketIO` for people. It is whole as it comes, without scripts and other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from ._catalogue import Catalogue, Shown, Value
from ._typescript import Module

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2430; --soft: #5b6675; --line: #dfe4ea;
  --in: #0b7a53; --out: #2457c5; --code: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --back: #14181e; --card: #1c222a; --text: #e6eaf0; --soft: #97a3b3;
  --line: #2d3640; --in: #4cc38a; --out: #7ea6ff; --code: #262e38; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; } h1 small { color: var(--soft); font-weight: 400; font-size: 1rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; } h2 code { font-size: 1.05rem; }
a { color: var(--out); } .links a { margin-right: 1rem; } p { margin: .5rem 0; }
.soft { color: var(--soft); }
article { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; margin: .6rem 0; }
article h3 { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; margin: 0; font-size: 1rem; }
.way { font-size: .75rem; font-weight: 600; border: 1px solid; border-radius: 1rem; padding: .05rem .55rem; }
.in { color: var(--in); } .out { color: var(--out); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .6rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code, pre { font: .88rem/1.5 ui-monospace, monospace; } code { background: var(--code); border-radius: .25rem; padding: .05rem .3rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; overflow-x: auto; margin: .6rem 0; }
"""


def page(title: str, version: str, catalogue: Catalogue, error_event: str | None, links: Sequence[tuple[str, str]]) -> str:
    """Returns the page. `links` are other forms of the document: text and address of each."""
    types = Module(catalogue, error_event)
    body = "".join(_body(title, version, catalogue, types, links))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: events</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _body(
    title: str, version: str, catalogue: Catalogue, types: Module, links: Sequence[tuple[str, str]]
) -> Iterator[str]:
    yield f"<h1>{escape(title)} <small>{escape(version)}</small></h1>"
    yield '<p class="soft">Events of Socket.IO</p><p class="links">'
    for text, address in links:
        yield f'<a href="{escape(address)}">{escape(text)}</a>'
    yield "</p>"
    if not catalogue.spaces:
        yield "<p>There are no events yet.</p>"
    for space in catalogue.spaces:
        yield f"<section><h2>Namespace <code>{escape(space.name)}</code></h2>"
        if space.auth is not None:
            yield f"<p>To join, send <code>auth</code>: {_code(types, space.auth)}</p>"
        for event in space.received:
            yield _event(types, event, '<span class="way in">client → server</span>')
        for event in space.emitted:
            yield _event(types, event, '<span class="way out">server → client</span>')
        yield "</section>"
    yield "<section><h2>Types</h2>"
    for name, text in types.models():
        yield f'<pre id="{escape(name)}">{escape(text.strip())}</pre>'
    yield "</section>"


def _event(types: Module, event: Shown, way: str) -> str:
    parts = [f"<article><h3><code>{escape(event.name)}</code>{way}</h3>"]
    if event.description:
        parts.append(f"<p>{escape(event.description)}</p>")
    parts.append("<dl>")
    for value in event.values:
        mark = "" if value.is_required else ' <span class="soft">optional</span>'
        parts.append(f"<dt>{escape(value.name)}</dt><dd>{_code(types, value)}{mark}</dd>")
    if event.rest is not None:
        parts.append(f'<dt>*{escape(event.rest.name)}</dt><dd>{_code(types, event.rest)} <span class="soft">each</span></dd>')
    if event.answer:
        answers = ", ".join(_code(types, value) for value in event.answer)
        parts.append(f'<dt>acknowledgement</dt><dd>{answers}</dd>')
    if event.security:
        parts.append(f"<dt>security</dt><dd>{escape(', '.join(event.security))}</dd>")
    parts.append("</dl></article>")
    return "".join(parts)


def _code(types: Module, value: Value) -> str:
    names = types.names
    words = re.split(r"(\w+)", types.type_of(value.schema))
    return f"<code>{''.join(_link(word) if word in names else escape(word) for word in words)}</code>"


def _link(name: str) -> str:
    return f'<a href="#{escape(name)}">{escape(name)}</a>'
