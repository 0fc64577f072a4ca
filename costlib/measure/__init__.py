"""How fast, how big, how much power: one child process per configuration, repeated until sure.

Calling the room is calling `costlib.measure.run.measure`.
"""

from costlib.room import callable_as

callable_as(__name__, "costlib.measure.run:measure")
