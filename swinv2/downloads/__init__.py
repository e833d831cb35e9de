"""Files of the web and of the Hugging Face hub."""
