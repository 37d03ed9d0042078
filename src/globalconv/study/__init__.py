"""The study: plan, run, statistics, verdict, report."""
