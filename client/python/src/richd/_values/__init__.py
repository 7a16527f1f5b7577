"""What is sent and what comes back: rows, moments, heads; points and spectra."""
