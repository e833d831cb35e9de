"""Downloads from the web and the Hugging Face hub."""
