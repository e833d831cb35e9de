"""`swinv2 doctor`: what is installed, what of it works, and what to do about the rest, as text for a report."""
