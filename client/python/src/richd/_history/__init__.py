"""Reading what the daemon has: runs, and tables of them, as `richd.runs` and `richd.run` give."""
