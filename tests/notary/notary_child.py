"""A real notary in a process of its own, to be killed: FOLDER SOCKET."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from recorded import ORIGIN, audit  # noqa: E402
from twisted.internet import reactor  # noqa: E402

from gateway.notary.process import Notary  # noqa: E402

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    notary = Notary(audit(folder, segment_records=400), ORIGIN, folder, {"w": "worker"})
    notary.listen(sys.argv[2])
    notary.startService()
    reactor.run()
