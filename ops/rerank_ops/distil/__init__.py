"""Distillation: a small ranking model of a user's own, from a teacher's scores of the user's own texts."""
