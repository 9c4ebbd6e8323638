"""What mail providers post of bounces and complaints: whether it is genuine, and what it says."""
