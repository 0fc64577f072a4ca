"""Distillation: a student is made from a teacher, and what it keeps and saves is measured on held-out items.

`students` makes embedding students and classifiers, `language` language models with fewer layers, `retention` compares
student and teacher by item and in turn; `run.distill` does all of it in a child process and stores one row.
"""
