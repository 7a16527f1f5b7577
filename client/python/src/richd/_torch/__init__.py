"""What is read off a torch module: taps, parameters, the tangent kernel."""
