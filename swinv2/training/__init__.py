"""What Lightning does not have: parameter groups with layer decay, schedules, and the base of the command line."""
