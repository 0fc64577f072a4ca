"""Distillation: a student is made from a teacher, and what it keeps and saves is measured on held-out items.

`students` makes them, `train` scores and times one beside its teacher in a child process, by `retention`, on `material`
that no student has learned from; `run.distill` does all of it and stores one row.
"""
