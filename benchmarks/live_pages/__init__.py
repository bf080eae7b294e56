"""Sites that show running jobs, a browser, and clients of streams, for `live.py`."""
