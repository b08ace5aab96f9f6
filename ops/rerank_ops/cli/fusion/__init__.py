"""The command `fusion tune`: finds the method and weight of fusion that suit a labelled set."""
