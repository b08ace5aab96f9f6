"""The commands `models`: which live processes serve which models; loads and unloads them."""
