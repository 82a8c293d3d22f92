"""How true the words of neurons are: on held-out pictures, by a witness, beside controls and an upper bound."""
