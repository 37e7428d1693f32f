"""What readers see: the demo and its picture."""
