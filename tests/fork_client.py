"""`muniment` by way of `tests.fork_server`: a child of the server does what is asked, as if it were this process.

Arguments, environment, working folder, umask and the three streams are handed over. Signals are passed on, and this
process ends as the child ended. It imports next to nothing, because its start is all that a command costs.
"""

import os
import signal
import sys

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(address: str, script: str, arguments: list[str]) -> int:
    """Have a command run.

    Args:
        address: the server's socket.
        script: the installed command, which is run as it is when the server says 0, not the number of a process.
        arguments: what follows the command's name.

    Returns:
        The exit code.
    """
    import json
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        umask = os.umask(0)
        os.umask(umask)
        folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to load than everything else here
        order = json.dumps([[script, *arguments], dict(os.environ), folder, umask]).encode()
        socket.send_fds(server, [len(order).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(order)
        with server.makefile("r") as answers:
            child = int(answers.readline())
            if child == 0:
                os.execv(script, [script, *arguments])  # noqa: S606 - the words are a list
            for number in _PASSED_ON:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, lambda got, _frame: os.kill(child, got))
            code = int(answers.readline())
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
