"""What others charge: a dated book of API prices, priced requests and usage, and the hourly rates of hardware.

Calling the room is calling `costlib.prices.frames.prices`.
"""

from costlib.room import callable_as

callable_as(__name__, "costlib.prices.frames:prices")
