import Bytes
import CFastCGI
import Git
import Glibc
package import Logging
import Maintenance
package import Posix

/// Serves FastCGI on a listening socket with worker threads, until a signal arrives.
package struct FastCGIServer: ~Copyable {
    private let listener: Listener
    private let responder: Responder
    private let workers: Int
    private let log: Logger

    package init(
        listener: consuming Listener, responder: Responder, workers: Int, log: Logger
    ) {
        self.listener = listener
        self.responder = responder
        self.workers = workers
        self.log = log
    }

    /// Serves until SIGTERM, SIGINT, SIGHUP or SIGUSR1; then accepts no more connections, finishes
    /// the running requests, and returns. A second such signal ends these as well: it kills their
    /// git processes, and ends all waits for a git process and for the rest of a body.
    package consuming func run() throws(SystemError) {
        FCGX_Init()
        // libfcgi takes over some signals; a broken connection must stay an error of write(2).
        Signals.ignoreBrokenPipes()

        let watch = try BodyWatch()
        let wake = try OwnedDescriptor.pipe()
        let (waking, woken) = wake.release()
        let socket = listener.descriptor.raw
        let responder = responder
        let log = log
        // All workers have the same problem at once, and the log needs only one line about it.
        let failures = LineLimiter(perSecond: 1)
        let threads = ThreadGroup()
        for _ in 0..<workers {
            try threads.start { Self.work(socket, waking, responder, watch, failures, log) }
        }
        log.info("serving", metadata: ["server.workers": "\(workers)"])

        let received = Signals.wait()
        log.info("stopping", metadata: ["process.signal": "\(received)"])
        listener.removeSocket()
        close(woken)
        responder.compactor?.stop()
        let impatience = try Thread(stackBytes: 1 << 17) {
            _ = Signals.wait()
            responder.slots.close()
            watch.shutDownAll()
            ChildProcess.endAll()
        }
        _ = consume impatience
        threads.join()
        close(waking)
        responder.verifier?.stop()
    }

    /// One worker: repeatedly waits for a connection and answers its request.
    private static func work(
        _ socket: Int32, _ waking: Int32, _ responder: Responder, _ watch: BodyWatch,
        _ failures: LineLimiter, _ log: Logger
    ) {
        while true {
            var polled = [
                pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: waking, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&polled, 2, -1) < 0 { continue }
            if polled[1].revents != 0 { return }
            let connection: OwnedDescriptor
            do {
                connection = try .accept(on: socket)
            } catch {
                reportFailedAccept(error, failures, log)
                continue
            }
            guard let request = FastCGIConnection(accepting: connection, watchedBy: watch) else {
                continue
            }
            responder.respond(
                to: Request(variables: request.variables, identifier: Hex.random(bytes: 8)),
                on: request)
        }
    }

    /// Logs that accept(2) failed for lack of descriptors or memory, and pauses so that others can
    /// finish. After other errors another worker was faster, or the client disconnected.
    private static func reportFailedAccept(
        _ error: SystemError, _ failures: LineLimiter, _ log: Logger
    ) {
        guard [EMFILE, ENFILE, ENOMEM, ENOBUFS].contains(error.code) else { return }
        if let suppressed = failures.admit() {
            log.error(
                "accept failed",
                metadata: ["error": "\(error)", "log.suppressed": "\(suppressed)"])
        }
        usleep(100_000)
    }
}
