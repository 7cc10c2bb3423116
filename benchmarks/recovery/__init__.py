"""How soon a killed daemon acts again, and how soon another member takes over."""
