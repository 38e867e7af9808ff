"""What happens in the process that is timed: how calls, windows and pairs are taken, and what the host did beside."""
