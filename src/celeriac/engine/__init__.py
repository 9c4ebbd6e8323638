"""Celery behind Celeriac: the only package that imports celery and kombu."""
