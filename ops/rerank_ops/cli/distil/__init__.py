"""The command `distil`: makes a small ranking model of a user's own from a teacher's scores."""
