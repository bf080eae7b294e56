"""For the tests of projects that use django-offload."""
