"""What fencing needs of Linux beside the standard library."""
