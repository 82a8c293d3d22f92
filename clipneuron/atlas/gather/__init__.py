"""From the tables of a run to the cards of its pages."""
