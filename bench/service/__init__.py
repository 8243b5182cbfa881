"""What the service adds to fitting, on real servers and with a process for each part."""
