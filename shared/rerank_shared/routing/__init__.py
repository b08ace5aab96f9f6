"""Routes as values: what a `model` name stands for, how it is written, and which model a query meets. Pure."""
