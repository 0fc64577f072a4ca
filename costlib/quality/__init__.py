"""How good: what quantization and small models lose, always with its uncertainty, and a gate on it."""

from costlib.room import callable_as

callable_as(__name__, "costlib.quality.assess:quality")
