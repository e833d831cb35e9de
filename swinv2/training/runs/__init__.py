"""The folder of a run: what is kept there, and how it goes on."""
