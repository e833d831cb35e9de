"""Training beyond what Lightning has: parameter groups with layer decay, schedules, checks, and the base of tasks."""
