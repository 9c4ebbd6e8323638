"""Scripts that run in processes of their own, with limits, as they read what strangers have sent.

Each is run by its path, imports nothing of Celeriac, and is told what to do in JSON.
"""
