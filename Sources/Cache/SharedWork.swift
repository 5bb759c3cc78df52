import Posix

/// Work whose result depends only on a key, and is done once however many threads need it at the same
/// time. The others wait, and get the same result or error.
final class SharedWork<Key: Hashable & Sendable, Value: Sendable>: @unchecked Sendable {
    // Guards `underWay`, and the result of each job.
    private let monitor = Monitor()
    private var underWay: [Key: Job] = [:]

    private final class Job {
        var result: Result<Value, any Error>?
        /// Threads that wait for it.
        var waiting = 0
    }

    /// The number of threads that are waiting for another one's result.
    var waiting: Int { monitor.locked { underWay.values.reduce(0) { $0 + $1.waiting } } }

    /// Returns the value of a key, and computes it unless another thread is doing so.
    func value(of key: Key, making make: () throws -> Value) throws -> Value {
        if let result = othersResult(of: key) { return try result.get() }
        let result = Result { try make() }
        monitor.locked {
            underWay.removeValue(forKey: key)?.result = result
            monitor.notify()
        }
        return try result.get()
    }

    /// Waits for another thread's result.
    ///
    /// - Returns: nil if there is none, and the caller has to compute it.
    private func othersResult(of key: Key) -> Result<Value, any Error>? {
        monitor.locked {
            guard let job = underWay[key] else {
                underWay[key] = Job()
                return nil
            }
            job.waiting += 1
            while true {
                if let result = job.result { return result }
                _ = monitor.wait(atMost: .seconds(60)) { job.result != nil }
            }
        }
    }
}
