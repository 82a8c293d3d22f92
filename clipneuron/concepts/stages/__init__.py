"""The stages that find concepts in pictures, one arrow of the flow each."""
