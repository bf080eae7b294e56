"""Where no socket can be made, everybody looks by the clock."""

from pathlib import Path

import pytest

from offload.notifier.base import Hint
from offload.notifier.polling import PollingListener
from offload.notifier.unix_sockets import UnixSocketNotifier


@pytest.mark.parametrize("folder", ["/dev/null/bells", "/nonexistent/folder/bells"])
def test_a_folder_that_cannot_be_used_leaves_the_clock(folder):
    listener = UnixSocketNotifier(Path(folder)).listen(Hint.WORK)

    assert isinstance(listener, PollingListener)
    assert listener.receive() == set()
    listener.close()
