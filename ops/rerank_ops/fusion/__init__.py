"""The weight of first-stage scores, chosen on a labelled set: sweep, cross-validation, and how sure its gain is."""
