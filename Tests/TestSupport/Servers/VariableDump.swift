import Glibc
import Posix

/// A program that answers every request with the variables that it was given, one a line. It takes
/// the place of the program under test behind any ``Front``.
package struct VariableDump: Sendable {
    package let program: String
    private let directory: TemporaryDirectory

    package init() throws {
        directory = try TemporaryDirectory()
        program = try directory.file("dump", Self.script)
        for path in [directory.path, program] where chmod(path, 0o755) != 0 {
            throw SystemError("chmod", path)
        }
        try Account.open(directory.path)
    }

    /// By FastCGI on `--listen unix:PATH` or on descriptor 0, and else by CGI.
    private static let script = """
        #!/usr/bin/env python3
        import os, socket, sys, threading

        def variables(data):
            at = 0
            def length():
                nonlocal at
                size = 1 if data[at] < 128 else 4
                at += size
                return int.from_bytes(data[at - size:at], 'big') & 0x7fffffff
            while at < len(data):
                name, value = length(), length()
                yield data[at:at + name] + b'=' + data[at + name:at + name + value]
                at += name + value

        def answer(lines):
            return b'Content-Type: text/plain\\r\\n\\r\\n' + b'\\n'.join(sorted(lines)) + b'\\n'

        def serve(connection):
            with connection, connection.makefile('rb') as stream:
                data = b''
                while True:
                    head = stream.read(8)
                    if len(head) < 8:
                        return
                    content = stream.read(int.from_bytes(head[4:6], 'big'))
                    stream.read(head[6])
                    if head[1] == 4:
                        data += content
                    if head[1] == 5 and not content:
                        break
                body = answer(variables(data))
                number, size = head[2:4], len(body).to_bytes(2, 'big')
                connection.sendall(b'\\x01\\x06' + number + size + bytes(2) + body
                    + b'\\x01\\x03' + number + b'\\x00\\x08' + bytes(10))

        paths = [word[5:] for word in sys.argv if word.startswith('unix:')]
        if paths:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(paths[0])
            os.chmod(paths[0], 0o666)
            listener.listen(64)
        else:
            try:
                listener = socket.socket(fileno=0)
                listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            except OSError:
                listens = False
            if not listens:
                lines = [os.fsencode(name + '=' + value) for name, value in os.environ.items()]
                sys.stdout.buffer.write(answer(lines))
                sys.exit(0)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        """
}
