"""The asyncio worker: a Celery consumer and pool that run `async def` tasks on one event loop."""
