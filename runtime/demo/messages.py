"""Errors as messages in the page; facts as a row of labels."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from intrinsic_flow.demo.workspace import SessionEnded
from intrinsic_flow.errors import InputError, MissingExtraError

# Whatever the path and whether there is such a file: nobody learns what else the server's machine holds.
FOREIGN = "This file is not one of yours. Choose it again."


def as_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turns errors that a visitor can act on into Gradio's message, one line. Others stay errors of the program: Gradio
    logs them and tells the visitor that something went wrong."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except InputError as error:
            # The folder of an upload is ours and says nothing to the visitor.
            raise message(f"{Path(error.path).name}: found {error.found}, expected {error.expected}") from error
        except MemoryError as error:
            raise message("The server ran out of memory. A smaller picture may work.") from error
        except OSError as error:
            raise message(f"The server could not read or write a file: {error.strerror or error}") from error
        except (MissingExtraError, SessionEnded) as error:
            raise message(str(error)) from error

    return wrapped


def message(text: str) -> gr.Error:
    """A message to raise. Gradio shows messages as HTML, and a file's name may hold any."""
    return gr.Error(html.escape(text), title="That did not work", duration=12, print_exception=False)


def facts(labels: Iterable[str]) -> str:
    """HTML of a row of labels, the first one strong."""
    spans = [f'<span class="{"strong" if not i else ""}">{html.escape(label)}</span>' for i, label in enumerate(labels)]
    return f'<div class="facts" role="status">{"".join(spans)}</div>'
