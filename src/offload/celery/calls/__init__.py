"""What becomes of a call: the task of django-offload, its arguments, and a job."""
