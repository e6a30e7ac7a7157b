"""The trading system: nouns and verbs are pure, only the edges do I/O."""
