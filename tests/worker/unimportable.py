"""Modules that fail when they are imported: `sys.modules` is told which exception to raise."""

import sys

raise getattr(sys, "offload_test_exception", RuntimeError("broken module"))
