import Bytes
import Maintenance
import CFastCGI
import CSystem
import Glibc
package import Logging
package import Posix

/// Serves FastCGI on a listening socket with worker threads, until told to stop.
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

    /// Blocks the signals that end the process, for every thread that is started from now on.
    package static func blockSignals() {
        signal(SIGPIPE, SIG_IGN)
        var signals = endingSignals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    private static var endingSignals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { sigaddset(&signals, signal) }
        return signals
    }

    /// Serves until SIGTERM, SIGINT, SIGHUP or SIGUSR1; then takes no more connections, finishes
    /// what runs, and returns. A second such signal ends what runs.
    package consuming func run() throws(SystemError) {
        FCGX_Init()
        // libfcgi takes over some signals; a broken connection must stay an error of write(2).
        signal(SIGPIPE, SIG_IGN)

        let watch = try BodyWatch()
        let wake = try OwnedDescriptor.pipe()
        let (waking, woken) = wake.release()
        let socket = listener.descriptor.raw
        let responder = responder
        let log = log
        // All workers meet the same trouble at once, and the log needs one to say so.
        let failures = LineLimiter(perSecond: 1)
        var threads: [UnsafeMutablePointer<Thread>] = []
        for _ in 0..<workers {
            let slot = UnsafeMutablePointer<Thread>.allocate(capacity: 1)
            slot.initialize(
                to: try Thread {
                    Self.work(socket, waking, responder, watch, failures, log)
                })
            threads.append(slot)
        }
        log.info("serving", metadata: ["server.workers": "\(workers)"])

        var signals = Self.endingSignals
        var received: Int32 = 0
        sigwait(&signals, &received)
        log.info("stopping", metadata: ["process.signal": "\(received)"])
        listener.removeSocket()
        close(woken)
        responder.compactor?.stop()
        let impatience = try Thread(stackBytes: 1 << 17) {
            var signals = Self.endingSignals
            var received: Int32 = 0
            sigwait(&signals, &received)
            ChildProcess.endAll()
        }
        _ = consume impatience
        for slot in threads {
            slot.move().join()
            slot.deallocate()
        }
        close(waking)
        responder.verifier?.stop()
    }

    /// One worker: waits for a connection, answers its request, and again.
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
            let raw = gs3_accept(socket)
            if raw < 0 {
                reportFailedAccept(SystemError("accept4"), failures, log)
                continue
            }
            let connection = OwnedDescriptor(taking: raw)
            guard let request = FastCGIConnection(accepting: connection, watchedBy: watch) else {
                continue
            }
            responder.respond(
                to: Request(variables: request.variables, identifier: Hex.random(bytes: 8)),
                on: request)
        }
    }

    /// Another worker was faster, or the client gave up; without descriptors or memory there is
    /// nothing to do but to wait for others to finish.
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
