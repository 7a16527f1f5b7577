"""The way to the daemon: where it is, what is said to it, and what waits to be said."""
