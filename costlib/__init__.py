"""costlib measures what language models cost to run and writes portfolio cost reports."""
