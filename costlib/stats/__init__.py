"""The one home of statistics: means and their intervals, pairs, margins, and what is looked at again and again."""
