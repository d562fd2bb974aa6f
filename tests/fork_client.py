"""`muniment` by way of `tests.fork_server`: a child of the server does what is asked, as if it were this process.

Arguments, environment, working folder, umask and the three streams are handed over. Signals are passed on, and this
process ends as the child ended. Its start is all that a command costs, so it imports what is written in C and nothing
else: `json`, `socket` and `signal` would take longer than Python's own start.
"""

import _signal  # type: ignore[import-not-found]
import marshal
import os
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOL_SOCKET, socket
from array import array

_PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2)


def main(address: str, script: str, arguments: list[str]) -> int:
    """Have a command run.

    Args:
        address: the server's socket.
        script: the installed command, which is run as it is when the server says 0, not the number of a process.
        arguments: what follows the command's name.

    Returns:
        The exit code.
    """
    server = socket(AF_UNIX)
    server.connect(address)
    umask = os.umask(0)
    os.umask(umask)
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to load than everything else here
    order = marshal.dumps(([script, *arguments], dict(os.environ), folder, umask))
    server.sendmsg([len(order).to_bytes(8, "big")], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
    server.sendall(order)
    with open(server.fileno(), "rb", closefd=False) as answers:
        child = int(answers.readline())
        if child == 0:
            os.execv(script, [script, *arguments])  # noqa: S606 - the words are a list
        for number in _PASSED_ON:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, lambda got, _frame: os.kill(child, got))
        code = int(answers.readline())
    if code < 0:
        if -code != _signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
