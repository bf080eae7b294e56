"""Where jobs run inside one process: threads for def, an event loop for async def."""
