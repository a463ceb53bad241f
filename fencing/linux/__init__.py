"""The interfaces of Linux that fencing needs beside the standard library."""
