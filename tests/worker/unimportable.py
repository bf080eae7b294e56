"""A module whose import raises `sys.offload_test_exception`."""

import sys

raise getattr(sys, "offload_test_exception", RuntimeError("broken module"))
