"""What a commit says to tell the client."""

from __future__ import annotations

import functools
from typing import Final, Literal, NamedTuple

__all__ = ["FORGET", "NOTHING", "Action", "Answer", "new_answer"]

Action = Literal["nothing", "issue", "extend", "forget"]


class Answer(NamedTuple):
    """What to tell the client about its session id.

    - ``nothing``: the client has what it needs.
    - ``issue``: a new id. Send it, with a life time of ``seconds``.
    - ``extend``: the id that the client has lives for ``seconds`` from now. Send it again only if
      the client was told a life time; otherwise it has what it needs.
    - ``forget``: the session has ended. Have the client remove the id.

    ``persistent``: whether the client should keep the id when it is closed, as the session has it;
    None if that is for the application to say.
    """

    action: Action
    session_id: str = ""
    seconds: float = 0
    persistent: bool | None = None

    def __repr__(self) -> str:
        return f"<Answer {self.action}>"


# What the constructor does, without a call of Python: every write makes one.
new_answer: Final = functools.partial(tuple.__new__, Answer)

NOTHING: Final = Answer("nothing")
FORGET: Final = Answer("forget")
