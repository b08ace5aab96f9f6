"""The commands `feedback`: what is kept of clicks, files of judgements made of it, and deletion."""
