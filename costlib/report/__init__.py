"""What finance reads: notebooks executed into copies, published as HTML, every number in a ledger, and checked."""

from costlib.room import callable_as

callable_as(__name__, "costlib.report.run:report")
