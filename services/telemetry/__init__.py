"""What a process tells of itself to those who keep it running."""
