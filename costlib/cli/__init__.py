"""The `costlib` command: a thin shell over the public door, one module per part of the contract."""
