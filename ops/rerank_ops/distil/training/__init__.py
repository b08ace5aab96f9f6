"""Training of a student, in torch: importing these modules needs the extra `distil`."""
