"""Bounces, complaints and requests to unsubscribe: how they come in, what they mean, and what they change."""
