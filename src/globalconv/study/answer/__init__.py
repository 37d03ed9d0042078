"""From runs to an answer: statistics, verdict, sentences, advice."""
