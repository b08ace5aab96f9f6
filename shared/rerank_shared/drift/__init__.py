"""How far two models' scores of the same pairs lie apart: measures, and what a fleet keeps of them for each route."""
