"""How fast, how big, how much power: one child process per configuration, repeated until sure."""
