import Glibc

/// A thread of the system, joined once. pthreads(7).
///
/// The request path blocks: it runs on threads of its own, never on a cooperative pool.
package struct Thread: ~Copyable {
    private let raw: pthread_t

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts a thread. pthread_create(3).
    ///
    /// - Parameter stackBytes: the size of its stack.
    package init(
        stackBytes: Int = 1 << 20, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)

        let start = Unmanaged.passRetained(Start(body))
        var raw = pthread_t()
        let code = pthread_create(
            &raw, &attributes,
            { context in
                guard let context else { return nil }
                Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        if code != 0 {
            start.release()
            throw SystemError("pthread_create", code: code)
        }
        self.raw = raw
    }

    deinit {
        pthread_detach(raw)
    }

    /// Waits until the thread has ended. pthread_join(3).
    package consuming func join() {
        let raw = raw
        discard self
        pthread_join(raw, nil)
    }
}
