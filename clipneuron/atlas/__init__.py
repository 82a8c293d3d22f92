"""Pictures and pages made from the tables."""
