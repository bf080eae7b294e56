"""What a task is: its options, its names, its call, and the task of django-offload behind it."""
