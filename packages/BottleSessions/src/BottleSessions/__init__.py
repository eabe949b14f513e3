"""Sessions for Bottle web apps: ``BottleSessions(app)``, and ``request.session`` is a dict.

This package holds nothing of its own: it installs the four session packages, and gives their
names in the places where BottleSessions has always had them.
"""

# The modules of the classic package have the names of its classes. Importing a module of a
# package binds its name there, once; so each is imported here first, and then replaced by the
# class, and no later import of a module can put it back.
from .backing import Backing
from .BottleSessions import BottleSessions
from .Session import Session

BottleSession = BottleSessions

__all__ = ["Backing", "BottleSession", "BottleSessions", "Session"]
