"""What an analyst calls: questions that need several rooms at once, each answered by one function.

Everything returns tidy DataFrames or frozen values with units in the names. `costlib/__init__.py` is the list of all
public names; the command line is a thin shell over the same functions.
"""
