"""What finance reads: notebooks executed into copies, published as HTML, every number in a ledger, and checked.

A module X_page is the page of the notebook X; X_costs, X_quality, X_matrix and the like are parts of that page.
"""

from costlib.room import callable_as

callable_as(__name__, "costlib.report.run:report")
